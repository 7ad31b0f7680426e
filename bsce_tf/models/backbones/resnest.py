"""ResNeSt-50, -101, -200 and -269: residual networks with split attention.

Zhang et al. 2020, "ResNeSt: Split-Attention Networks" (arXiv 2004.08955): section 3.1 for the
block, 3.2 for the order of its channels, 4.1 for the deep stem and the average pools. Layers
have the names of timm's modules (resnest50d, resnest101e, resnest200e, resnest269e), so that its
weights can be converted by name.
"""

import functools
import operator

import keras

from bsce_tf.models.backbones import input_shape as shapes
from bsce_tf.models.layers.batch_norm import FusedBatchNormalization
from bsce_tf.models.layers.grouped_convolution import GroupedConv2D
from bsce_tf.models.weights import Weights

EXPANSION = 4  # channels of a block's output / channels of its 3 x 3 convolution
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package='bsce_tf')
class SumSplits(keras.layers.Layer):
    """[b, h, w, radix·c] → [b, h, w, c]: the sum over `radix` ≥ 2 consecutive splits."""

    def __init__(self, radix, **kwargs):
        super().__init__(**kwargs)
        if radix < 2:  # one split would need a sigmoid in place of the softmax
            raise ValueError(f'Expected a radix of at least 2. Received: radix={radix}')
        self.radix = radix

    def call(self, x):
        return _sum(keras.ops.split(x, self.radix, axis=-1))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.radix)

    def get_config(self):
        return {**super().get_config(), 'radix': self.radix}


@keras.saving.register_keras_serializable(package='bsce_tf')
class AttendSplits(SumSplits):
    """([b, h, w, radix·c], logits [b, 1, 1, radix·c]) → [b, h, w, c]: section 3.1.

    Each channel of the result is the mean of that channel in all splits, weighted by a softmax
    over the splits.
    """

    def call(self, inputs):
        x, logits = inputs
        logits = keras.ops.stack(keras.ops.split(logits, self.radix, axis=-1))
        attention = keras.ops.softmax(logits, axis=0)
        splits = keras.ops.split(x, self.radix, axis=-1)
        return _sum(split * attention[r] for r, split in enumerate(splits))

    def compute_output_shape(self, input_shapes):
        return super().compute_output_shape(input_shapes[0])


def _sum(tensors):
    return functools.reduce(operator.add, tensors)  # the built-in adds a 0 to a map first


def convolve(x, filters, size, name, *, strides=1, use_bias=False):
    """[b, h, w, c] → [b, h', w', filters], padded by size // 2 on every side."""
    padding = 'same'
    if strides > 1 and size > 1:  # 'same' might only pad bottom and right
        x = keras.layers.ZeroPadding2D(size // 2, name=f'{name}.pad')(x)
        padding = 'valid'
    return keras.layers.Conv2D(
        filters, size, strides, padding, use_bias=use_bias, kernel_initializer='he_normal',
        name=name)(x)


def normalise(x, name, *, relu=True, gamma='ones'):
    """BatchNorm and, unless `relu` is false, ReLU; shape unchanged."""
    x = FusedBatchNormalization(
        momentum=0.9, epsilon=EPSILON, gamma_initializer=gamma, name=name)(x)
    return keras.layers.ReLU(name=f'{name}.relu')(x) if relu else x


def split_attention(x, filters, radix, name):
    """[b, h, w, filters] → the same shape (section 3.1, cardinality 1)."""
    splits = GroupedConv2D(
        filters * radix, 3, padding='same', groups=radix, kernel_initializer='he_normal',
        name=f'{name}.conv')(x)
    splits = normalise(splits, f'{name}.bn0')
    # Pool first, then sum: equal, and cheaper.
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f'{name}.pool')(splits)
    pooled = SumSplits(radix, name=f'{name}.sum')(pooled)
    hidden = convolve(pooled, max(filters * radix // 4, 32), 1, f'{name}.fc1', use_bias=True)
    hidden = normalise(hidden, f'{name}.bn1')
    logits = convolve(hidden, filters * radix, 1, f'{name}.fc2', use_bias=True)
    return AttendSplits(radix, name=f'{name}.attend')([splits, logits])


def average(x, stride, name):
    """3 x 3 mean, [b, h, w, c] → [b, ⌈h / stride⌉, ⌈w / stride⌉, c]; the zero padding counts."""
    x = keras.layers.ZeroPadding2D(1, name=f'{name}.pad')(x)
    return keras.layers.AveragePooling2D(3, stride, name=name)(x)


def shortcut(x, filters, stride, name):
    """[b, h, w, c] → [b, ⌈h / stride⌉, ⌈w / stride⌉, filters]: pool, then 1 x 1 convolution."""
    if stride > 1:  # with 'same', padding does not count in the mean
        x = keras.layers.AveragePooling2D(stride, stride, 'same', name=f'{name}.0')(x)
    x = convolve(x, filters, 1, f'{name}.1')
    return normalise(x, f'{name}.2', relu=False)


def block(x, filters, stride, radix, name):
    """[b, h, w, c] → [b, ⌈h / stride⌉, ⌈w / stride⌉, 4·filters]: 1 x 1, split attention, 1 x 1.

    A nested model, as a flat network of 269 layers would exceed Python's recursion limit.
    """
    inputs = keras.Input(x.shape[1:], dtype=x.dtype, name=f'{name}.input')
    y = convolve(inputs, filters, 1, f'{name}.conv1')
    y = normalise(y, f'{name}.bn1')
    y = split_attention(y, filters, radix, f'{name}.conv2')
    if stride > 1:
        y = average(y, stride, f'{name}.avd_last')
    y = convolve(y, EXPANSION * filters, 1, f'{name}.conv3')
    # Section 4.2: γ starts at zero, so each block starts as the identity.
    y = normalise(y, f'{name}.bn3', relu=False, gamma='zeros')
    same = stride == 1 and x.shape[-1] == EXPANSION * filters
    skip = inputs if same else shortcut(inputs, EXPANSION * filters, stride, f'{name}.downsample')
    y = keras.layers.Add(name=f'{name}.add')([y, skip])
    y = keras.layers.ReLU(name=f'{name}.act3')(y)
    return keras.Model(inputs, y, name=name)(x)


def stem(x, width):
    """[b, h, w, 3] → [b, h / 4, w / 4, 2·width]: three 3 x 3 convolutions and a max-pool."""
    x = convolve(x, width, 3, 'conv1.0', strides=2)
    x = normalise(x, 'conv1.1')
    x = convolve(x, width, 3, 'conv1.3')
    x = normalise(x, 'conv1.4')
    x = convolve(x, 2 * width, 3, 'conv1.6')
    x = normalise(x, 'bn1')
    x = keras.layers.ZeroPadding2D(1, name='maxpool.pad')(x)  # no zero exceeds a ReLU output
    return keras.layers.MaxPooling2D(3, 2, name='maxpool')(x)


def resnest(
    depths, stem_width, input_shape=(None, None, 3), *, width=64, radix=2, name='resnest'
):
    """A ResNeSt without its classifier.

    Args:
        depths: blocks in each stage; all stages except the first halve height and width.
        stem_width: channels of the stem's first convolution.
        input_shape: (height, width, 3); height and width at least 96, or None for any.
        width: channels of the 3 x 3 convolutions in the first stage; each next one doubles it.
        radix: splits in each block's attention, at least 2; divides `width`.
        name: the model's name.

    Returns:
        A `keras.Model` from normalised images [batch, height, width, 3] to the last feature map
        after its ReLU; of four stages, [batch, ⌈height / 32⌉, ⌈width / 32⌉, 32·width].

    Raises:
        InputError: an image side under 96 pixels, or other than three channels.
    """
    shapes.check(input_shape, name)
    inputs = keras.Input(input_shape, name='images')
    x = stem(inputs, stem_width)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            stride = 2 if stage > 0 and i == 0 else 1
            x = block(x, width * 2**stage, stride, radix, f'layer{stage + 1}.{i}')
    return keras.Model(inputs, x, name=name)


def resnest50(input_shape=(224, 224, 3), *, name='resnest50'):
    """ResNeSt-50: 25,434,240 trainable parameters, 2,048 features."""
    return resnest((3, 4, 6, 3), 32, input_shape, name=name)


def resnest101(input_shape=(256, 256, 3), *, name='resnest101'):
    """ResNeSt-101: 46,226,016 trainable parameters, 2,048 features."""
    return resnest((3, 4, 23, 3), 64, input_shape, name=name)


def resnest200(input_shape=(320, 320, 3), *, name='resnest200'):
    """ResNeSt-200: 68,152,544 trainable parameters, 2,048 features."""
    return resnest((3, 24, 36, 3), 64, input_shape, name=name)


def resnest269(input_shape=(416, 416, 3), *, name='resnest269'):
    """ResNeSt-269: 108,880,480 trainable parameters, 2,048 features."""
    return resnest((3, 30, 48, 8), 64, input_shape, name=name)


def small_resnest(input_shape=(96, 96, 3), *, name='small_resnest'):
    """One block per stage, a quarter of the width: 512 features, trainable on a CPU."""
    return resnest((1, 1, 1, 1), 16, input_shape, width=16, name=name)


_PUBLISHED = {  # licence from the hub's model cards; top-1 from the README's PyTorch column
    'licence': 'apache-2.0', 'source': 'README of github.com/zhanghang1989/ResNeSt'}
WEIGHTS = {
    'resnest50': Weights('timm/resnest50d.in1k', size=224, top1=81.03, **_PUBLISHED),
    'resnest101': Weights('timm/resnest101e.in1k', size=256, top1=82.83, **_PUBLISHED),
    'resnest200': Weights('timm/resnest200e.in1k', size=320, interpolation='bicubic',
                          crop_fraction=0.909, top1=83.84, **_PUBLISHED),
    'resnest269': Weights('timm/resnest269e.in1k', size=416, interpolation='bicubic',
                          crop_fraction=0.928, top1=84.54, **_PUBLISHED),
}
