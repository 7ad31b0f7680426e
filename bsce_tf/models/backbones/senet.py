"""SENet154.

Hu et al. 2018, "Squeeze-and-Excitation Networks" (arXiv 1709.01507): section 3 and figure 1 for
squeeze and excitation, the appendix on SENet-154 for the network: a ResNeXt-152 (64 x 4d) with
half as many channels in the first convolution of each block, three 3 x 3 convolutions as a stem,
and 3 x 3 shortcuts. Layers have the names of timm's modules, so that its weights can be converted
by name.
"""

import dataclasses

import keras

from bsce_tf.models.backbones import input_shape as shapes
from bsce_tf.models.layers.batch_norm import FusedBatchNormalization
from bsce_tf.models.layers.grouped_convolution import GroupedConv2D
from bsce_tf.models.weights import Weights

EPSILON = 1e-5
EXPANSION = 4  # channels of a block's output / nominal width of its stage


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of layers that differ between the two published variants."""

    stem: tuple  # (convolution, its BatchNorm) three times
    squeeze: str


LEGACY = Names(
    stem=tuple((f'layer0.conv{i}', f'layer0.bn{i}') for i in (1, 2, 3)), squeeze='se_module'
)
GLUON = Names(
    stem=(('conv1.0', 'conv1.1'), ('conv1.3', 'conv1.4'), ('conv1.6', 'bn1')), squeeze='se'
)


def convolve(x, filters, size, name, *, stride=1, groups=1):
    """[b, h, w, c] -> [b, ceil(h / stride), ..., filters]; size // 2 zeros on every side."""
    padding = 'same'
    if stride > 1:  # 'same' would pad an even map at the bottom and right only
        x = keras.layers.ZeroPadding2D(size // 2, name=f'{name}.pad')(x)
        padding = 'valid'
    options = {'use_bias': False, 'kernel_initializer': 'he_normal', 'name': name}
    if groups > 1:
        return GroupedConv2D(filters, size, stride, padding, groups=groups, **options)(x)
    return keras.layers.Conv2D(filters, size, stride, padding, **options)(x)


def normalise(x, name, *, relu=True):
    """BatchNorm and, unless `relu` is false, ReLU; shape unchanged."""
    x = FusedBatchNormalization(momentum=0.9, epsilon=EPSILON, name=name)(x)
    return keras.layers.ReLU(name=f'{name}.relu')(x) if relu else x


def squeeze_and_excite(x, reduction, name):
    """Multiply each channel by a gate computed from the means of all channels (eqs. 2 to 4)."""
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f'{name}.pool')(x)
    hidden = channels // reduction
    gate = keras.layers.Conv2D(hidden, 1, activation='relu', name=f'{name}.fc1')(gate)
    gate = keras.layers.Conv2D(channels, 1, activation='sigmoid', name=f'{name}.fc2')(gate)
    return keras.layers.Multiply(name=f'{name}.scale')([x, gate])


def block(x, width, name, squeeze, *, stride=1, groups=64, reduction=16, shortcut_size=1):
    """[b, h, w, c] -> [b, ceil(h / stride), ..., 4 * width]: a bottleneck and its shortcut.

    A nested model, as a flat network of 152 layers would exceed Python's recursion limit.
    """
    outputs = EXPANSION * width
    inputs = keras.Input(x.shape[1:], dtype=x.dtype, name=f'{name}.input')
    y = convolve(inputs, 2 * width, 1, f'{name}.conv1')
    y = normalise(y, f'{name}.bn1')
    y = convolve(y, outputs, 3, f'{name}.conv2', stride=stride, groups=groups)
    y = normalise(y, f'{name}.bn2')
    y = convolve(y, outputs, 1, f'{name}.conv3')
    y = normalise(y, f'{name}.bn3', relu=False)
    y = squeeze_and_excite(y, reduction, f'{name}.{squeeze}')
    skip = inputs
    if stride > 1 or x.shape[-1] != outputs:
        skip = convolve(inputs, outputs, shortcut_size, f'{name}.downsample.0', stride=stride)
        skip = normalise(skip, f'{name}.downsample.1', relu=False)
    y = keras.layers.Add(name=f'{name}.add')([y, skip])
    y = keras.layers.ReLU(name=f'{name}.relu')(y)
    return keras.Model(inputs, y, name=name)(x)


def stem(x, widths, names):
    """[b, h, w, 3] -> [b, ceil(h / 2), ..., widths[-1]]: three 3 x 3 convolutions."""
    for (convolution, norm), width, stride in zip(names.stem, widths, (2, 1, 1), strict=True):
        x = convolve(x, width, 3, convolution, stride=stride)
        x = normalise(x, norm)
    return x


def stem_pool(x, legacy):
    """3 x 3 maximum with stride 2.

    The legacy variant's first window starts at the first pixel; the other's is centred on it. Each
    needs its own weights: with the other's, answers are wrong without an error.
    """
    if legacy:  # 'same' would pad an odd map on both sides
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name='maxpool.pad')(x)
    else:  # zeros do not change the maximum, as inputs are ≥ 0
        x = keras.layers.ZeroPadding2D(1, name='maxpool.pad')(x)
    return keras.layers.MaxPooling2D(3, 2, name='maxpool')(x)


def senet154(input_shape=(224, 224, 3), *, legacy=False, depths=(3, 8, 36, 3), width=64, groups=64,
             reduction=16, stem_widths=(64, 64, 128), name='senet154'):
    """SENet154 without its classifier: 113,039,984 trainable parameters, 2,048 features.

    Args:
        input_shape: (height, width, 3); height and width at least 96, or None for any.
        legacy: whether to use the authors' stem pool, for their weights, or that of GluonCV, for
            the weights trained there. The shapes of the weights are the same.
        depths: blocks in each stage; all stages except the first halve height and width.
        width: nominal width of the first stage, a multiple of groups / 4; each next one doubles it.
        groups: of each block's 3 x 3 convolution.
        reduction: factor by which squeeze-and-excitation reduces the channels.
        stem_widths: channels of the stem's three convolutions.
        name: the model's name.

    Returns:
        A `keras.Model` from normalised images [batch, height, width, 3] to the last feature map
        after its ReLU, [batch, height / 32, width / 32, 4 * width * 2^(stages - 1)], rounded up.

    Raises:
        InputError: an image side under 96 pixels, or other than three channels.
    """
    shapes.check(input_shape, name)
    names = LEGACY if legacy else GLUON
    images = keras.Input(input_shape, name='images')
    x = stem_pool(stem(images, stem_widths, names), legacy)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            x = block(x, width * 2**stage, f'layer{stage + 1}.{i}', names.squeeze,
                      stride=2 if stage > 0 and i == 0 else 1, groups=groups, reduction=reduction,
                      shortcut_size=3 if stage > 0 else 1)
    return keras.Model(images, x, name=name)


_SOURCE = 'huggingface/pytorch-image-models, results/results-imagenet.csv'

WEIGHTS = {
    'senet154': Weights(
        repository='timm/senet154.gluon_in1k', interpolation='bicubic', licence='apache-2.0',
        top1=81.226, source=_SOURCE),
    'legacy_senet154': Weights(
        repository='https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights',
        filename='legacy_senet154-e9eb9fe6.pth',
        interpolation='bilinear', licence='apache-2.0', top1=81.308, source=_SOURCE,
        sha256='e9eb9fe6',  # the beginning, as the file's name gives it
    ),
}
