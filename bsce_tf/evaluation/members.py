"""A trained model with the crops that it wants: the one way from an image to its logits.

Test time of the paper (section 4.1): resize to several scales, crop the centres, average the
*features* of the crops, classify once. Evaluation, prediction and the exported graph all use this.
"""

import contextlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bsce_tf.data.images import crops
from bsce_tf.errors import InputError
from bsce_tf.models import classifier
from bsce_tf.training import workdir


class Member(NamedTuple):
    """One model of an ensemble.

    Attributes:
      name: of its run's folder.
      body: Model, images `[n, C, C, channels]`, values 0 … 255 → features `[n, feature_dim]`.
      head: Model, features → float32 logits `[n, K]`.
      scales: sizes that an image is resized to before the centre crop.
      size: C, side of the crop in pixels.
      aspect, antialias: see `crops.centre_crops`.
      channels: 1 or 3.
      run: the `workdir.Run`.
      shift: float32 `[K]`, what is taken off the logits, see `adjust`; None: nothing.
    """

    name: str
    body: keras.Model
    head: keras.Model
    scales: tuple
    size: int
    aspect: str
    antialias: bool
    channels: int
    run: workdir.Run
    shift: np.ndarray | None = None


def load(folder, scales=()):
    """The model of a trained run, in the run's own precision.

    Args:
      folder: of the run.
      scales: of test time; empty: the run's `tta.scales`, or else its `image.scales`.

    Raises:
      InputError: if the folder holds no trained run, or a scale is below the run's crop.
    """
    return of_run(workdir.read(folder), scales)


def of_run(run, scales=(), policy=None):
    """As `load`, of a `workdir.Run`; in the precision `policy`, if that is given."""
    image = run.config.image
    scales = tuple(dict.fromkeys(scales or run.config.tta.scales or image.scales))
    if min(scales) < image.size:
        raise InputError(f'tta.scales: found {min(scales)}; expected at least image.size of '
                         f'{run.folder}, which is {image.size}.')
    with precision(policy or run.config.precision):
        body, head = split(model_of(run), run.config.model.features)
    return Member(run.folder.name, body, head, scales, image.size, image.aspect, image.antialias,
                  run.data['channels'], run)


def model_of(run):
    """The whole classifier of a `workdir.Run`, with its weights, in the precision of the moment."""
    model = classifier.make_model(run.config, len(run.class_names), run.data['channels'])
    classifier.load_weights(model, run.weights)
    return model


@contextlib.contextmanager
def precision(policy):
    """Within the block layers are made with this dtype policy; after it with the one before."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def split(model, at='backbone'):
    """(images → features, features → logits) of a classifier; they share its variables.

    Args:
      model: as `classifier.build` makes it.
      at: what features are: of the 'backbone', pooled, or the 'embedding', if there is one.
    """
    names = [layer.name for layer in model.layers]
    last = 'embedding_bn' if at == 'embedding' and 'embedding_bn' in names else 'features'
    features = model.get_layer(last).output
    x = inputs = keras.Input(features.shape[1:], dtype=features.dtype, name='features')
    for layer in model.layers[names.index(last) + 1:]:
        x = layer(x)  # dropout among them does nothing here
    return (keras.Model(model.input, features, name='body'), keras.Model(inputs, x, name='head'))


def check_runs(runs):
    """Raises InputError that names the first class in which two `workdir.Run`s differ."""
    first, *others = runs
    for other in others:
        for k, (ours, theirs) in enumerate(zip(first.class_names, other.class_names, strict=False)):
            if ours != theirs:
                raise InputError(f"{other.folder}: class {k} is '{theirs}', and '{ours}' in "
                                 f'{first.folder}; expected models of the same classes.')
        if len(first.class_names) != len(other.class_names):
            raise InputError(f'{other.folder}: has {len(other.class_names)} classes, and '
                             f'{first.folder} {len(first.class_names)}; expected models of the '
                             'same classes.')


def crops_of(member, image):
    """uint8 `[scales, C, C, channels]`: the centre crops of one decoded image, uint8 `[h, w, c]`.

    The image is grey or RGB; a grey model takes the mean of RGB's channels, and an RGB model takes
    the grey value for all of them.

    Args:
      member: a `Member`, or anything with its fields scales, size, aspect, antialias and channels.
      image: the image.
    """
    if member.channels == 1 and image.shape[-1] == 3:
        image = tf.reduce_mean(tf.cast(image, tf.float32), axis=-1, keepdims=True)
    elif member.channels == 3 and image.shape[-1] == 1:
        image = tf.image.grayscale_to_rgb(image)
    return crops.to_uint8(crops.centre_crops(image, member.scales, member.size, member.aspect,
                                             member.antialias))


def features_of(member, batch):
    """float32 `[n, scales, feature_dim]` of crops `[n, scales, C, C, channels]`, any scales."""
    shape = tf.shape(batch)
    flat = tf.reshape(batch, [-1, member.size, member.size, member.channels])
    features = tf.cast(member.body(flat, training=False), tf.float32)
    return tf.reshape(features, [shape[0], shape[1], features.shape[-1]])


def logits_of(member, features):
    """float32 `[n, K]` of features `[n, scales, feature_dim]`, averaged over the scales."""
    mean = tf.reduce_mean(features, axis=1)
    logits = member.head(tf.cast(mean, member.head.input.dtype), training=False)
    return logits if member.shift is None else logits - tf.constant(member.shift, logits.dtype)


def logits_of_crops(member, crops):
    """As `logits_of`, of crops `[n, scales, C, C, channels]`, one scale at a time."""
    features = [features_of(member, crops[:, i:i + 1]) for i in range(len(member.scales))]
    return logits_of(member, tf.concat(features, axis=1))
