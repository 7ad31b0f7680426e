"""A validation set out of the training images, where no list of one is given."""

import numpy as np

from bsce_tf import fields
from bsce_tf.errors import InputError


def stratified_split(labels, num_classes, fraction, seed=0):
    """Puts the same share of every class aside for validation.

    Class k gives fraction · n(k) images, rounded down or up by a systematic draw over the classes
    in random order. So small classes, where rounding each by itself would always give none or
    always one, give one as often as their share says, and the total is right to half an image. The
    last image of a class never leaves training.

    Args:
      labels: int `[N]`, each 0 … K−1.
      num_classes: K.
      fraction: share of validation images, above 0, at most 0.5.
      seed: 0 … 2³¹−1; the same seed gives the same split.

    Returns:
      Two int64 arrays of indices, both ascending: training and validation. Together they hold
      each of 0 … N−1 once.

    Raises:
      InputError: if the fraction is out of range or leaves no image for validation, or if a label
        is outside 0 … K−1.
    """
    labels = np.asarray(labels)
    fields.check('data.validation_fraction', fraction)
    if not labels.size or labels.min() < 0 or labels.max() >= num_classes:
        raise InputError('data.validation_fraction: a stratified split needs images that all have '
                         f'a label in 0 to {num_classes - 1}.')
    counts = np.bincount(labels, minlength=num_classes)
    rng = np.random.default_rng(seed)
    wanted = systematic(np.where(counts > 1, fraction * counts, 0.0), rng)
    if not wanted.sum():
        raise InputError(f'data.validation_fraction: found {fraction}, which leaves none of '
                         f'{len(labels)} images for validation; expected a larger number, or a '
                         'list in data.validation.')
    chosen = rank_in_class(labels, counts, rng) < wanted[labels]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def rank_in_class(labels, counts, rng):
    """int64 `[N]`: each image's place, from 0, in a random order of its class's images."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind='stable')]
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def systematic(quota, rng):
    """Rounds each of `[K]` numbers down or up, in expectation to itself, their sum to nearest."""
    order = rng.permutation(len(quota))
    ends = np.cumsum(quota[order])
    part = ends[-1] % 1
    # Offsets with which the whole sum rounds to the nearest number.
    low, high = (1 - part, 1.0) if part >= 0.5 else (0.0, 1 - part)
    steps = np.floor(np.append(0.0, ends) + rng.uniform(low, high)).astype(np.int64)
    rounded = np.empty(len(quota), np.int64)
    rounded[order] = np.diff(steps)
    return rounded
