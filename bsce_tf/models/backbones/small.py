"""A small residual network for images of about 28 px, for the demo and tests."""

import keras
from keras import layers

from bsce_tf.models.layers.batch_norm import FusedBatchNormalization
from bsce_tf.models.weights import Weights


def small_resnet(input_shape=(28, 28, 3), *, widths=(16, 32, 64), stem_stride=2,
                 name='small_resnet'):
    """Stem and one residual block per width (He et al. 2016, "Deep Residual Learning", figure 2).

    Args:
      input_shape: (height, width, channels), at least 8 px.
      widths: channels of each block; all blocks except the first halve the side.
      stem_stride: of the first convolution.
      name: of the model.

    Returns:
      Model: normalised float images `[n, height, width, channels]` → features
      `[n, h, w, widths[-1]]`.
    """
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, widths[0], 3, stem_stride, 'stem')
    x = layers.ReLU(name='stem_relu')(x)
    for i, width in enumerate(widths):
        x = _block(x, width, 1 if i == 0 else 2, f'block{i + 1}')
    return keras.Model(inputs, x, name=name)


def _block(x, width, stride, name):
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, 1, stride, f'{name}_shortcut')
    x = _convolution(x, width, 3, stride, f'{name}_1')
    x = layers.ReLU(name=f'{name}_1_relu')(x)
    x = _convolution(x, width, 3, 1, f'{name}_2')
    x = layers.Add(name=f'{name}_add')([x, shortcut])
    return layers.ReLU(name=f'{name}_relu')(x)


def _convolution(x, width, size, stride, name):
    x = layers.Conv2D(width, size, stride, padding='same', use_bias=False,
                      kernel_initializer='he_normal', name=f'{name}_conv')(x)
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f'{name}_bn')(x)


def normalisation(size):
    """`Weights` of a network without published ones, for images of `size` pixels."""
    return Weights('', '', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=size)
