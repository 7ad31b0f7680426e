"""Backbone + pooling + dropout + head: from pixels to logits."""

import pathlib

import keras
import numpy as np
from keras import layers

from bsce_tf.errors import InputError
from bsce_tf.models import backbones, convert_timm


def build(name, num_classes, weights=None, *, image_size=None, channels=3, dropout=0.0):
    """A classifier whose input normalisation is part of the model.

    Args:
      name: of a row of `backbones.BACKBONES`.
      num_classes: K ≥ 2.
      weights: None for random ones; 'imagenet' for the backbone's published ones, see
        `published.load`; a `.weights.h5` file of the same classifier; or a checkpoint of timm for
        the backbone, `.safetensors` or `.pth`, see `convert_timm.load`.
      image_size: side of the images in pixels; None: the backbone's native size.
      channels: of the images: 1 or 3; grey images are repeated to the three a backbone takes.
      dropout: rate before the head, 0 to below 1.

    Returns:
      Model: images `[n, size, size, channels]`, values 0 … 255 → logits `[n, K]`, float32 under
      every dtype policy. Its layer 'features' gives the pooled features `[n, feature_dim]`.

    Raises:
      InputError: if a name is unknown, a number is out of its range, or the weights do not fit.
    """
    row = backbones.get(name)
    if num_classes < 2:
        raise InputError(f'num_classes: found {num_classes}; expected at least 2.')
    if weights == 'imagenet' and row.load_imagenet is None:
        raise InputError(f"model.weights: found 'imagenet'; expected a file: {name} has no "
                         'published weights.')
    if not 0 <= dropout < 1:
        raise InputError(f'model.dropout: found {dropout}; expected 0 to below 1.')
    size = image_size or row.weights.size
    inputs = keras.Input((size, size, channels), name='image')
    x = inputs
    if channels == 1:
        x = layers.Concatenate(name='grey_to_rgb')([x, x, x])
    elif channels != 3:
        raise InputError(f'channels: found {channels}; expected 1 or 3.')
    mean, std = np.array(row.weights.mean), np.array(row.weights.std)
    x = layers.Rescaling((1 / (255 * std)).tolist(), (-mean / std).tolist(),
                         name='normalisation')(x)
    backbone = _backbone(name, row, size)
    if weights == 'imagenet':
        row.load_imagenet(backbone)
    x = backbone(x)
    x = layers.GlobalAveragePooling2D(name='features')(x)
    if dropout:
        x = layers.Dropout(dropout, name='dropout')(x)
    logits = layers.Dense(num_classes, dtype='float32', name='head')(x)
    model = keras.Model(inputs, logits, name=f'{name}_classifier')
    if weights and weights != 'imagenet':
        load_weights(model, weights)
    return model


def _backbone(name, row, size):
    try:
        return row.build((size, size, 3))
    except InputError:
        raise
    except ValueError as error:  # of Keras Applications
        raise InputError(f'image.size: found {size}; {name} says: {error}') from error


def synchronise_batch_norm(model):
    """Makes every BatchNormalization take its statistics over the batch of all replicas.

    So a run gives the same weights on any number of replicas. Call it before `compile`.
    """
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True


def load_weights(model, path):
    """Loads a `.weights.h5` file of the classifier or a checkpoint of timm for its backbone.

    Raises:
      InputError: if the file is missing or damaged, or belongs to another network or class count.
    """
    if pathlib.Path(path).suffix in ('.safetensors', '.pth'):
        convert_timm.load(model, path)
        return
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f'{path}: {first} Expected the weights of {model.name} with '
                         f'{model.output_shape[-1]} classes.') from error
