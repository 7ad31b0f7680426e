"""The table of backbones: for each name its builder, feature width and published weights."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras

from bsce_tf import parts
from bsce_tf.errors import InputError, alike
from bsce_tf.models.backbones import (
    efficientnet_lite,
    hub,
    input_shape,
    keras_applications,
    pnasnet,
    resnest,
    senet,
    small,
)
from bsce_tf.models.weights import Weights, convert_timm, published


class Backbone(NamedTuple):
    """One row of the table.

    Attributes:
      build: function of `input_shape` (height, width, 3) that returns a model from normalised
        images to the last feature map `[n, h, w, feature_dim]`.
      feature_dim: channels of the feature map; None if not known beforehand.
      weights: `Weights`: native size, mean and std for images in [0, 1], source of the weights.
      load_imagenet: function that sets a built model's weights to the published ones, or None.
      modules: function that returns {layer name: module path} for checkpoints whose modules have
        other names than our layers; see `convert_timm.load`.
      smallest: smallest side of the images in pixels.
      published: the value of model.weights that means the published weights.
      token: like `build`, for a model that outputs the class token `[n, feature_dim]`, or None.
    """

    build: Callable
    feature_dim: int
    weights: Weights
    load_imagenet: Callable | None
    modules: Callable = dict
    smallest: int = 8
    published: str = 'imagenet'
    token: Callable | None = None


def _port(build, feature_dim, weights):
    return Backbone(build, feature_dim, weights, functools.partial(_load_published, weights),
                    smallest=input_shape.SMALLEST)


def _load_published(weights, model):
    published.load(model, weights)


def _load_keras(build, source, model):
    try:
        published_model = build(model.input_shape[1:], weights='imagenet')
    except Exception as error:  # a download may raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f'model.weights: the ImageNet weights of {model.name} ({source}) cannot be '
            f'loaded ({reason}); expected internet access the first time, or the file under '
            "Keras's name for it in ~/.keras/models.") from error
    model.set_weights(published_model.get_weights())


def _load_efficientnet_lite(model):
    convert_timm.load(model, efficientnet_lite.imagenet_weights_file(),
                      modules=efficientnet_lite.modules())


def _built(name, input_shape):
    model = parts.made('model.backbone', name, keras.Model, input_shape)
    if len(model.output_shape) != 4:
        raise InputError(f"model.backbone: '{name}' gives features of shape {model.output_shape}; "
                         'expected a feature map, [n, height, width, channels].')
    return model


BACKBONES = {
    'small_resnet': Backbone(small.small_resnet, 64, small.normalisation(28), None),
    'small_resnest': Backbone(resnest.small_resnest, 512, small.normalisation(96), None,
                              smallest=input_shape.SMALLEST),
    'small_pnasnet': Backbone(pnasnet.small_pnasnet, 320, small.normalisation(96), None,
                              smallest=input_shape.SMALLEST),
    'pnasnet5large': _port(pnasnet.pnasnet5large, 4320, pnasnet.WEIGHTS['pnasnet5large']),
    'senet154': _port(senet.senet154, 2048, senet.WEIGHTS['senet154']),
    'legacy_senet154': _port(functools.partial(senet.senet154, legacy=True,
                                               name='legacy_senet154'),
                             2048, senet.WEIGHTS['legacy_senet154']),
    **{name: _port(getattr(resnest, name), 2048, weights)
       for name, weights in resnest.WEIGHTS.items()},
    'efficientnet_lite0': Backbone(
        efficientnet_lite.efficientnet_lite0, 1280,
        efficientnet_lite.WEIGHTS['efficientnet_lite0'], _load_efficientnet_lite,
        efficientnet_lite.modules, smallest=input_shape.SMALLEST),
    **{name: Backbone(build, width, weights,
                      functools.partial(_load_keras, build, weights.repository),
                      smallest=keras_applications.SMALLEST)
       for name, (build, width, weights) in keras_applications.ROWS.items()},
}


def get(name):
    """The `Backbone` of a name.

    Args:
      name: in `BACKBONES`; 'hub:PRESET' of KerasHub, see `hub`; or the user's own, see `parts`.

    Raises:
      InputError: if the name is unknown.
    """
    if hub.is_preset(name):
        return Backbone(
            functools.partial(hub.build, name), None, hub.weights_row(name),
            functools.partial(hub.load, name), smallest=8, published=hub.WORD,
            token=functools.partial(hub.build, name, token=True))
    if parts.is_part(name):
        part = parts.load('model.backbone', name)
        return part if isinstance(part, Backbone) else Backbone(
            functools.partial(_built, name), None, Weights(''), None)
    if name not in BACKBONES:
        raise InputError(
            f"model.backbone: found '{name}'{alike(name, BACKBONES)}; expected one of "
            f"{', '.join(BACKBONES)}.")
    return BACKBONES[name]


def check_size(name, size):
    """Raises InputError if images of `size` pixels are too small for a backbone."""
    smallest = get(name).smallest
    if size < smallest:
        raise InputError(f'config.image.size: found {size}; expected at least {smallest}, the '
                         f'smallest that model.backbone {name} takes.')
