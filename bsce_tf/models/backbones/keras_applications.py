"""Backbones of Keras Applications, for images that are already normalised."""

import functools

import keras
from keras import applications, layers

from bsce_tf.models.weights import IMAGENET_MEAN, IMAGENET_STD, Weights

SMALLEST = 32  # pixels, for all of them
_HALF = (0.5, 0.5, 0.5)
_CENTRED = (128 / 255,) * 3
# ResNet's weights are from Caffe: BGR images in [0, 255] minus these means, not scaled.
_CAFFE_MEAN, _CAFFE_STD = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3


def build(input_shape, *, constructor, weights=None, **options):
    """A network of Keras Applications without its head.

    Args:
      input_shape: (height, width, 3).
      constructor: its name in `keras.applications`.
      weights: None or 'imagenet', which Keras downloads.
      **options: of the constructor.

    Returns:
      Model: normalised RGB images → last feature map.
    """
    return getattr(applications, constructor)(
        include_top=False, weights=weights, input_shape=input_shape, **options)


def build_resnet(input_shape, *, constructor, weights=None):
    """As `build`, for ResNet, whose weights expect BGR: takes RGB images and converts them."""
    model = build(input_shape, constructor=constructor, weights=weights)
    inputs = layers.Input(input_shape)
    return keras.Model(inputs, model(ReverseChannels(name='rgb_to_bgr')(inputs)),
                       name=constructor.lower())


@keras.saving.register_keras_serializable('bsce_tf')
class ReverseChannels(layers.Layer):
    """RGB → BGR: `[n, h, w, 3]` with the last axis reversed."""

    def call(self, images):
        return images[..., ::-1]


def _published(size, mean, std, top1):
    """`Weights` with the top-1 accuracy from the table in Keras's documentation."""
    return Weights('keras.applications', '', mean=mean, std=std, size=size, crop_fraction=1.0,
                   licence=None, top1=top1, source='keras.io/api/applications')


def _rows():
    """{name: (builder, feature width, Weights)}."""
    rows = {}
    for depth, top1 in ((50, 74.9), (101, 76.4), (152, 76.6)):
        rows[f'resnet{depth}'] = (functools.partial(build_resnet, constructor=f'ResNet{depth}'),
                                  2048, _published(224, _CAFFE_MEAN, _CAFFE_STD, top1))
    for name, size, width, top1 in (('NASNetLarge', 331, 4032, 82.5),
                                    ('NASNetMobile', 224, 1056, 74.4)):
        rows[name.lower()] = (functools.partial(build, constructor=name), width,
                              _published(size, _HALF, _HALF, top1))
    for part, size, width, top1 in (
            ('B0', 224, 1280, 78.7), ('B1', 240, 1280, 79.8), ('B2', 260, 1408, 80.5),
            ('B3', 300, 1536, 82.0), ('S', 384, 1280, 83.9), ('M', 480, 1280, 85.3),
            ('L', 480, 1280, 85.7)):
        norm = (IMAGENET_MEAN, IMAGENET_STD) if part[0] == 'B' else (_CENTRED, _CENTRED)
        rows[f'efficientnetv2{part.lower()}'] = (
            functools.partial(build, constructor=f'EfficientNetV2{part}',
                              include_preprocessing=False), width, _published(size, *norm, top1))
    for part, width, top1 in (('Tiny', 768, 81.3), ('Small', 768, 82.3), ('Base', 1024, 85.3),
                              ('Large', 1536, 86.3)):
        rows[f'convnext{part.lower()}'] = (
            functools.partial(build, constructor=f'ConvNeXt{part}', include_preprocessing=False),
            width, _published(224, IMAGENET_MEAN, IMAGENET_STD, top1))
    return rows


ROWS = _rows()
