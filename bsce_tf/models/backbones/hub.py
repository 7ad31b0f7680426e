"""Backbones of KerasHub: `model.backbone=hub:PRESET`, by `pip install 'bsce-tf[hub]'`.

PRESET is what KerasHub's `from_preset` takes: the name of a preset, its address (kaggle://, hf://),
or a folder in which `save_to_preset` wrote the backbone and its image converter. Supported are the
backbones of KerasHub's image classifiers, DINOv2, DINOv3, and the image encoders of CLIP,
MetaCLIP 2 and SigLIP. Images are normalised as the preset's image converter does it.
"""

import functools
import pathlib
import re

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import internals
from bsce_tf.errors import InputError, alike
from bsce_tf.models.layers.tokens import ClassToken, TokenMap
from bsce_tf.models.weights import Weights

PREFIX = 'hub:'
WORD = 'preset'  # the value of model.weights for a preset's weights
_DUAL = ('CLIPBackbone', 'MetaCLIP2Backbone', 'SigLIPBackbone')  # image and text encoder
_DINO = ('DINOV2Backbone', 'DINOV3Backbone')  # KerasHub has no classifier of them
_ONE_SIZE = ('ViTBackbone', 'DeiTBackbone', *_DUAL)  # position embeddings for one image size
_PATCHES = (*_ONE_SIZE, *_DINO)
_NATIVE = 224  # pixels, if a preset does not say


def is_preset(name):
    """Whether a value of model.backbone names a preset of KerasHub."""
    return name.startswith(PREFIX)


def weights_row(name):
    """The `Weights` of a preset: normalisation and native size.

    Args:
      name: 'hub:PRESET'.

    Raises:
      InputError: if KerasHub is not installed, the preset does not exist, cannot be downloaded or
        is not for images, or it has no image converter.
    """
    preset = _preset(name)
    if pathlib.Path(preset).is_dir():  # its content may change: no cache
        return _read(name)
    return _read_once(name)


def build(name, input_shape, token=False):
    """A network with random weights.

    Args:
      name: 'hub:PRESET'.
      input_shape: (height, width, 3), height and width equal.
      token: whether to output one vector per image instead of the feature map.

    Returns:
      Model: normalised images → feature map `[n, h, w, c]`, for a transformer its patch tokens.
      With `token`, `[n, c]`: the class token, or SigLIP's attention pooling.

    Raises:
      InputError: as `weights_row`; or if the network does not take this size, or has no token.
    """
    return _model(name, _network(name, input_shape[0], False), token)


def load(name, model):
    """Sets the weights of a model that `build` made to the preset's.

    Position embeddings for another image size are resized, with a warning.

    Raises:
      InputError: if the weights cannot be loaded.
    """
    size, token = model.input_shape[1], len(model.output_shape) == 2
    model.set_weights(_model(name, _network(name, size, True), token).get_weights())


def _preset(name):
    return name.removeprefix(PREFIX)


def _library():
    try:
        import keras_hub  # optional, and the import takes seconds
    except ImportError as error:
        raise InputError(f'model.backbone: hub:… needs KerasHub ({error}): '
                         "pip install 'bsce-tf[hub]'.") from error
    return keras_hub


def _classes(library):
    """{name: class} of the supported backbones."""
    models = library.models
    tasks = [task for name, task in vars(models).items() if name.endswith('ImageClassifier')]
    found = [task.backbone_cls for task in tasks if getattr(task, 'backbone_cls', None)]
    found += [getattr(models, name) for name in (*_DINO, *_DUAL)]
    return {kind.__name__: kind for kind in found}


def _loader(name, library):
    """(KerasHub's loader, the class) of a preset."""
    preset, known = _preset(name), _classes(library)
    try:
        loader = internals.preset_loader(preset)
        kind = loader.check_backbone_class()
    except Exception as error:  # several libraries download and read: any error
        names = [other for kind in known.values() for other in kind.presets]
        if preset not in names and '://' not in preset:
            raise InputError(
                f"model.backbone: found '{name}'{alike(preset, names)}; expected hub: and a preset "
                'of KerasHub, its address (kaggle://…, hf://…), or a folder with its config.json.'
            ) from error
        raise _unavailable(name, error) from error
    if kind.__name__ not in known:
        raise InputError(f"model.backbone: found '{name}', which is a {kind.__name__}; expected a "
                         f'network of images: {", ".join(sorted(known))}.')
    return loader, kind


def _unavailable(name, error):
    return InputError(f"model.backbone: '{name}' cannot be loaded ({_first_line(error)}); expected "
                      'internet access the first time, or a folder that save_to_preset wrote.')


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read(name):
    library = _library()
    _, kind = _loader(name, library)
    try:
        converter = library.layers.ImageConverter.from_preset(_preset(name), dtype='float32')
    except FileNotFoundError as error:
        raise InputError(
            f"model.backbone: '{name}' has no image_converter.json, which says how it wants its "
            f"images; expected one, as keras_hub's {kind.__name__.removesuffix('Backbone')}Image"
            "Converter(…).save_to_preset writes it beside the backbone's.") from error
    except Exception as error:
        raise _unavailable(name, error) from error
    # The converter computes x · scale + offset for x in [0, 255]; both are scalar or per channel.
    scale, offset = (np.broadcast_to(value, 3).astype(float) for value in (
        1.0 if converter.scale is None else converter.scale,
        0.0 if converter.offset is None else converter.offset))
    std = 1 / (255 * scale)
    size = converter.image_size[0] if converter.image_size else _NATIVE
    return Weights(name, '', mean=tuple(-offset * std), std=tuple(std), size=size)


_read_once = functools.cache(_read)


def _network(name, size, load_weights):
    """The KerasHub backbone of a preset for images of `size` pixels."""
    library = _library()
    _, kind = _loader(name, library)
    policy = keras.config.dtype_policy()
    side = {_shape_of(kind): (size, size, 3)}
    if kind.__name__ == 'DINOV2Backbone' and not load_weights:
        side['position_embedding_shape'] = (size, size, 3)
    whole = library.models.Backbone.from_preset
    try:
        if kind.__name__ not in _ONE_SIZE:
            made = whole(_preset(name), load_weights, dtype=policy, **side)
            _check_patches(name, kind, made, size)
            return _with_positions_of_its_size(made)
        native = whole(_preset(name), load_weights, dtype=policy)
        native = native.vision_encoder if kind.__name__ in _DUAL else native
        _check_patches(name, kind, native, size)
        if kind.__name__ not in _DUAL and tuple(native.image_shape) == (size, size, 3):
            return native
        # An image encoder has the dtype policy with which it was saved; a new one has ours.
        made = type(native).from_config({**native.get_config(), 'image_shape': (size, size, 3),
                                         'dtype': policy})
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"model.backbone: '{name}' cannot be made for image.size {size} "
                         f'({_first_line(error)}).') from error
    if load_weights:
        _copy(name, native, made)
    _number_positions(made)
    return made


def _shape_of(kind):
    """The argument of a backbone's class for the image size."""
    return 'input_shape' if kind.__name__ == 'EfficientNetBackbone' else 'image_shape'


def _patch(network):
    return int(np.max(network.patch_size))


def _check_patches(name, kind, network, size):
    if kind.__name__ in _PATCHES and size % _patch(network):
        patch = _patch(network)
        below = max(size // patch, 1) * patch
        raise InputError(f"image.size: found {size}; '{name}' cuts images into patches of {patch} "
                         f'pixels: expected a multiple of that, as {below} or {below + patch}.')


def _with_positions_of_its_size(network):
    """DINOv2 with one table of position embeddings, for its image size; other networks unchanged.

    KerasHub's DINOv2 has two tables: one for the size of its pre-training and one for its images.
    Loading weights makes the second from the first, which would undo the training of the second.
    """
    if type(network).__name__ != 'DINOV2Backbone':
        return network
    made = network
    if tuple(network.position_embedding_shape) != tuple(network.image_shape):
        made = type(network).from_config({
            **network.get_config(), 'position_embedding_shape': network.image_shape,
            'dtype': keras.config.dtype_policy()})
        values = [v.numpy() for v in network.weights]
        table = next(value for v, value in zip(network.weights, values, strict=True)
                     if v.name == 'interpolated_position_embeddings')
        for variable, value in zip(made.weights, values, strict=True):
            variable.assign(table if variable.name == 'position_embeddings' else value)
    embeddings = made.embeddings

    def save(store):
        embeddings.position_embeddings.assign(embeddings.interpolated_position_embeddings)
        keras.layers.Layer.save_own_variables(embeddings, store)

    embeddings.save_own_variables = save
    return made


def _copy(name, native, made):
    """Sets the weights of `made` to those of `native`, which is for another image size."""
    for old, new in zip(native.weights, made.weights, strict=True):
        if tuple(old.shape) == tuple(new.shape):
            new.assign(old)
        elif keras.backend.is_float_dtype(new.dtype):
            sides = [network.image_shape[0] // _patch(network) for network in (native, made)]
            logging.warning('%s: its positions of %d × %d patches are resized to %d × %d, for '
                            'images of %d pixels.', name, sides[0], sides[0], sides[1], sides[1],
                            made.image_shape[0])
            new.assign(resize_positions(old.numpy(), *sides))


def resize_positions(table, old, new):
    """Position embeddings for another number of patches, by bicubic interpolation.

    Args:
      table: `[…, before + old², c]`; the first `before` rows, not of patches, stay unchanged.
      old, new: patches per row.

    Returns:
      `[…, before + new², c]`.
    """
    *front, count, width = table.shape
    before = count - old**2
    rows = table.reshape(count, width)
    grid = tf.image.resize(rows[before:].reshape(1, old, old, width), (new, new), 'bicubic',
                           antialias=True)
    rows = np.concatenate([rows[:before], np.reshape(grid, (new**2, width))])
    return rows.reshape(*front, before + new**2, width)


def _number_positions(network):
    """Sets position ids, which in KerasHub's CLIP are zero until weights are loaded."""
    for variable in network.weights:
        if variable.name == 'position_ids':
            variable.assign(np.arange(variable.shape[-1])[None])


def _model(name, network, token):
    """A model from images to the network's feature map or, with `token`, to one vector."""
    inputs, outputs = network.inputs[0], network.outputs[0]
    pooled = len(outputs.shape) == 2  # the last layer pools
    if pooled and not token:
        outputs = network.layers[-1].input
    if len(outputs.shape) == 3:
        outputs = _of_tokens(name, network, outputs, token)
    elif token and not pooled:
        raise _no_token(name)
    return keras.Model(inputs, outputs, name=re.sub(r'[^\w.-]', '_', _preset(name).strip('/')
                                                    .rpartition('/')[2]) or 'hub')


def _of_tokens(name, network, tokens, token):
    count = tokens.shape[1]
    side = network.inputs[0].shape[1] // _patch(network)
    if count < side**2:  # the network merges patches
        side = round(count**0.5)
    if not token:
        return TokenMap(side, name='token_map')(tokens)
    if count == side**2:
        raise _no_token(name)
    return ClassToken(name='class_token')(tokens)


def _no_token(name):
    return InputError(f"model.pooling: found 'token'; '{name}' has no class token: expected avg, "
                      'max or gem.')
