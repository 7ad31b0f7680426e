"""Builds a classifier, from pixels to logits: backbone, pooling, embedding, dropout, head."""

import fnmatch
import pathlib
import re

import h5py
import keras
import numpy as np
from absl import logging
from keras import layers

from bsce_tf import fields, internals
from bsce_tf.errors import InputError
from bsce_tf.models import backbones, heads
from bsce_tf.models.weights import array_sizes, convert_timm

_LISTED = 12  # layer names in a message
# Names of the head and of the embedding's two layers in a `.weights.h5` file.
_HEADS = {heads.TauHead: 'tau_head', heads.CosineHead: 'cosine_head'}
_EMBEDDING = ('dense', 'batch_normalization')
_WORDS = ('imagenet', 'preset')  # values of `weights` that mean published ones


def build(name, num_classes, weights=None, *, image_size=None, channels=3, pooling='avg',
          embedding=0, dropout=0.0, head='linear', freeze=(), **options):
    """A classifier that normalises its input images itself.

    Args:
      name: a name in `backbones.BACKBONES`, or another that `backbones.get` takes.
      num_classes: K ≥ 2.
      weights: None for random weights; 'imagenet' (see `published.load`) or 'preset' (see
        `backbones.hub`) for the backbone's published ones; a `.weights.h5` file of the same
        classifier; or a timm checkpoint of the backbone, `.safetensors` or `.pth` (see
        `convert_timm.load`). If the file's head is of another kind or has another class count, or
        its embedding has another width, head and embedding start new, with a warning.
      image_size: side of the images in pixels; None: the backbone's native size.
      channels: of the images, 1 or 3; a single channel is repeated three times for the backbone.
      pooling: of the last feature map, one of `heads.POOLINGS`; 'token' takes the class token of a
        transformer instead.
      embedding: width of a linear layer before the head, see `heads.embedding`; 0: none.
      dropout: rate before the head, 0 to below 1.
      head: one of `heads.HEADS`.
      freeze: layers that do not train; see `freeze_layers`.
      **options: of the head: scale and learn_scale, or tau; see `heads.head`.

    Returns:
      Model: images `[n, size, size, channels]`, values 0 … 255 → logits `[n, K]`, float32 under
      every dtype policy. Its layer 'features' gives the pooled features `[n, feature_dim]`, its
      layer 'embedding_bn' the embedding, if it has one.

    Raises:
      InputError: if a name is unknown, a number is out of range, or the weights do not fit.
    """
    row = backbones.get(name)
    if num_classes < 2:
        raise InputError(f'num_classes: found {num_classes}; expected at least 2.')
    if weights in _WORDS:
        _check_published(name, row, weights)
    fields.check('model.dropout', dropout)
    size = image_size or row.weights.size
    backbones.check_size(name, size)
    inputs = keras.Input((size, size, channels), name='image')
    x = inputs
    if channels == 1:
        x = layers.Concatenate(name='grey_to_rgb')([x, x, x])
    elif channels != 3:
        raise InputError(f'channels: found {channels}; expected 1 or 3.')
    mean, std = np.array(row.weights.mean), np.array(row.weights.std)
    x = layers.Rescaling((1 / (255 * std)).tolist(), (-mean / std).tolist(),
                         name='normalisation')(x)
    backbone = _backbone(name, row, size, pooling)
    if weights in _WORDS:
        row.load_imagenet(backbone)
    x = backbone(x)
    x = heads.pooling(pooling)(x)
    for layer in heads.embedding(embedding) if embedding else ():
        x = layer(x)
    if dropout:
        x = layers.Dropout(dropout, name='dropout')(x)
    logits = heads.head(head, num_classes, **options)(x)
    plain = re.sub(r'[^\w.-]+', '.', name)  # characters that TensorFlow's name scopes allow
    model = keras.Model(inputs, logits, name=f'{plain}_classifier')
    if weights and weights not in _WORDS:
        load_weights(model, weights, new_head=True, modules=row.modules())
    freeze_layers(model, freeze)
    return model


def make_model(config, num_classes, channels, weights=None, division=None):
    """The classifier that `config.model` and `config.image` describe.

    Args:
      config: ConfigDict of a stage.
      num_classes: K.
      channels: of the images, 1 or 3.
      weights: initial weights, see `build`; None if they are loaded later.
      division: of a divided or sampled head, see `heads.TauHead`; else None.
    """
    model = build(
        config.model.backbone, num_classes, weights,
        image_size=config.image.size, channels=channels, pooling=config.model.pooling,
        embedding=config.model.embedding, dropout=config.model.dropout, head=config.model.head,
        freeze=config.model.freeze,
        scale=config.model.head_scale, learn_scale=config.model.head_learn_scale,
        tau=config.model.head_tau, division=division)
    if config.model.batch_norm_momentum:
        set_batch_norm_momentum(model, config.model.batch_norm_momentum)
    if config.model.sync_batch_norm:
        synchronise_batch_norm(model)
    return model


def _check_published(name, row, word):
    if row.load_imagenet is None:
        raise InputError(f"model.weights: found '{word}'; expected a file: {name} has no "
                         'published weights.')
    if word != row.published:
        raise InputError(f"model.weights: found '{word}'; expected '{row.published}', a file or "
                         f'nothing with {name}.')


def _backbone(name, row, size, pooling):
    make = row.build
    if pooling == 'token':
        if row.token is None:
            raise InputError(f"model.pooling: found 'token'; expected avg, max or gem: {name} has "
                             'no class token.')
        make = row.token
    try:
        return make((size, size, 3))
    except InputError:
        raise
    except ValueError as error:  # of Keras Applications
        raise InputError(f'image.size: found {size}; {name} says: {error}') from error


def synchronise_batch_norm(model):
    """Makes every BatchNormalization compute its statistics over the batches of all replicas.

    A run then gives the same weights for any number of replicas. Call it before `compile`.
    """
    for layer in internals.all_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True


def set_batch_norm_momentum(model, momentum):
    """Sets the momentum, 0 to below 1, of every BatchNormalization, also in nested models."""
    for layer in internals.all_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def freeze_layers(model, names):
    """Freezes layers: weights do not change, and BatchNorms use their moving statistics.

    Args:
      model: also layers in nested models are frozen; the name of a nested model freezes all of it.
      names: beginnings of layer names, such as 'block1', or `fnmatch` patterns, such as '*_bn'.

    Raises:
      InputError: if a name matches no layer with weights, or nothing is left to train.
    """
    if isinstance(names, str):
        raise InputError(f"model.freeze: found the string '{names}'; expected a tuple of names.")
    found = [layer for layer in internals.all_layers(model) if layer.weights]
    for name in names:
        fitting = [layer for layer in found
                   if layer.name.startswith(name) or fnmatch.fnmatchcase(layer.name, name)]
        if not name or not fitting:
            # spread over the network: names of neighbours are alike
            some = found[::-(-len(found) // _LISTED)]
            raise InputError(f"model.freeze: found '{name}', which no layer is called; expected "
                             f'names as {", ".join(layer.name for layer in some)}.')
        for layer in fitting:
            layer.trainable = False
    if names and not model.trainable_weights:
        raise InputError(f'model.freeze: found {tuple(names)}, which leaves nothing to train; '
                         'expected a part of the layers.')


def load_weights(model, path, *, new_head=False, modules=None):
    """Loads a `.weights.h5` file of the classifier, or a timm checkpoint of its backbone.

    Args:
      model: as `build` makes it.
      path: of the file.
      new_head: whether to leave out, with a warning, a head in a `.weights.h5` file that is of
        another kind or class count. Use it for pretrained weights, not for a run's own.
      modules: for a timm checkpoint; see `convert_timm.load`.

    Raises:
      InputError: if the file is missing or damaged, or belongs to another network or class count.
    """
    if pathlib.Path(path).suffix in ('.safetensors', '.pth'):
        report = convert_timm.load(model, path, modules=modules)
        if report.head == 'new':
            logging.warning(report.message)
        return
    # Dropout's random state belongs to the run that saved it, not to the network.
    left_out = [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    unread = ()
    try:
        if new_head and (message := _other_head(model, path)):
            left_out += [layer for layer in model.layers if layer.name in convert_timm.OURS]
            unread = [f'layers/{kind}/' for kind in (*_HEADS.values(), *_EMBEDDING)]
            logging.warning(message)
        array_sizes.check_h5(path, model.weights, unread)
        model.load_weights(path, objects_to_skip=left_out)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f'{path}: {first} Expected the weights of {model.name} with '
                         f'{model.output_shape[-1]} classes.') from error


def _other_head(model, path):
    """How head or embedding in a `.weights.h5` file differ from the model's; '' if they fit."""
    def shapes(kind, file):
        group = file.get(f'layers/{kind}/vars', {})
        return [group[key].shape for key in sorted(group)]

    if type(model.get_layer('head')) not in _HEADS:  # the user's own: loading will tell
        return ''
    ours = [tuple(v.shape) for v in model.get_layer('head').weights]
    embedding = [tuple(layer.kernel.shape) for layer in model.layers if layer.name == 'embedding']
    with h5py.File(path, 'r') as file:
        there = {kind: found for kind in _HEADS.values() if (found := shapes(kind, file))}
        embedded = shapes(_EMBEDDING[0], file)
    if there and embedded != embedding:
        return (f'{path}: has an embedding of shapes {embedded}, and the model {embedding}; '
                'embedding and head are made new')
    if not there or there.get(_HEADS[type(model.get_layer('head'))]) == ours:
        return ''
    (found,) = there.values()
    return (f'{path}: has a head of {found[0][-1]} classes and shapes {found}; the head of '
            f'{ours[0][-1]} classes and shapes {ours} is made new')
