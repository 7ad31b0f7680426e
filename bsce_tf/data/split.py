"""A validation set out of the training images, where no list of one is given."""

from typing import NamedTuple

import numpy as np

from bsce_tf import fields
from bsce_tf.errors import InputError


def stratified_split(labels, num_classes, fraction, seed=0, groups=None):
    """Holds out the same share of every class for validation, in whole groups of images.

    The target of class k is fraction · n(k) images, rounded down or up to whole groups by a
    systematic draw over the classes in random order. Rounded each by itself, small classes would
    all give no image, or all give one; so they give one as often as the fraction says. Without
    groups the total is exact to half an image.

    Groups that have images of several classes are held out first, each if it brings its classes
    nearer to their targets. Groups of a single class make up the rest. At least one image of each
    class stays for training. A class whose images are all in one group gives none.

    Args:
      labels: int `[N]`, each 0 … K−1.
      num_classes: K.
      fraction: share of validation images, above 0, at most 0.5.
      seed: 0 … 2³¹−1; the same seed gives the same split.
      groups: int `[N]`; images with the same number stay on one side. None: each is its own group.

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
    groups = np.arange(len(labels)) if groups is None else numbered(groups)
    pairs = count_pairs(labels, groups, num_classes)
    number = np.bincount(pairs.label, minlength=num_classes)  # of groups with images of a class
    rng = np.random.default_rng(seed)
    wanted = systematic(np.where(number > 1, fraction * number, 0.0), rng)
    images = np.bincount(labels, minlength=num_classes)
    target = wanted * (images / np.maximum(number, 1))
    chosen = _of_several_classes(pairs, images, target, seed)
    chosen = _of_one_class(pairs, images, target, chosen, rng)[groups]
    if not chosen.any():
        inside = f' in {pairs.groups} groups' if pairs.groups < len(labels) else ''
        raise InputError(f'data.validation_fraction: found {fraction}, which leaves none of '
                         f'{len(labels)} images{inside} for validation; expected a larger number, '
                         'or a list in data.validation.')
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def unseen(num_classes, share, seed=0):
    """The classes that training never sees, drawn at random: int64, rising.

    Args:
      num_classes: K.
      share: of the classes, rounded to whole ones; at least two classes stay.
      seed: 0 … 2³¹−1; the same seed gives the same classes.

    Raises:
      InputError: if the share is out of range, or no class or fewer than two would be left to see.
    """
    fields.check('data.unseen_classes', share)
    count = round(share * num_classes)
    if not 0 < count <= num_classes - 2:
        raise InputError(f'data.unseen_classes: found {share}, which is {count} of {num_classes} '
                         f'classes; expected 1 to {num_classes - 2}.')
    return np.sort(np.random.default_rng([seed, 3]).permutation(num_classes)[:count])


class Pairs(NamedTuple):
    """How many images each group has of each class; P pairs of both that have some.

    Attributes:
      group: int64 `[P]`, ascending.
      label: int64 `[P]`, ascending within a group.
      images: int64 `[P]`.
      groups: G, their number.
      mixed: bool `[G]`, whether a group has several classes.
    """

    group: np.ndarray
    label: np.ndarray
    images: np.ndarray
    groups: int
    mixed: np.ndarray

    def of(self, chosen):
        """List of (group, its classes, its images of each) of the chosen groups, an int array."""
        ends = np.searchsorted(self.group, [chosen, chosen + 1])
        labels, images = self.label.tolist(), self.images.tolist()
        return [(group, labels[first:last], images[first:last])
                for group, first, last in zip(chosen.tolist(), *ends.tolist(), strict=True)]


def count_pairs(labels, groups, num_classes):
    """`Pairs` of labels, int `[N]`, and groups, int `[N]`, each of 0 … G−1 at least once."""
    codes, images = np.unique(groups.astype(np.int64) * num_classes + labels, return_counts=True)
    group, label = np.divmod(codes, num_classes)
    classes = np.bincount(group)
    return Pairs(group, label, images, len(classes), classes > 1)


def _of_several_classes(pairs, images, target, seed):
    """bool `[G]`: the groups of several classes that are held out, looked at in random order.

    A group is held out unless this makes Σ (images missing to the target)² / n(k) larger, the sum
    over its classes. The first pass takes those groups alone that lift no class above its target.
    """
    chosen = np.zeros(pairs.groups, bool)
    missing, spare, sizes = target.tolist(), (images - 1).tolist(), images.tolist()
    order = np.random.default_rng([seed, 2]).permutation(np.flatnonzero(pairs.mixed))
    for most in (missing, spare):
        for group, labels, counts in pairs.of(order[~chosen[order]]):
            own = list(zip(labels, counts, strict=True))
            if (all(n <= min(most[k], spare[k]) for k, n in own)
                    and sum(n * (n - 2 * missing[k]) / sizes[k] for k, n in own) <= 0):
                chosen[group] = True
                for k, n in own:
                    missing[k] -= n
                    spare[k] -= n
    return chosen


def _of_one_class(pairs, images, target, chosen, rng):
    """bool `[G]`: `chosen`, and groups of a single class until each class meets its target.

    They are taken in random order. One with more than twice the images that its class still misses
    stays for training.
    """
    taken = np.bincount(pairs.label, pairs.images * chosen[pairs.group], len(images))
    missing = target - taken
    single = np.flatnonzero(~pairs.mixed[pairs.group])
    order = single[in_classes(pairs.label[single], rng)]
    label, sizes = pairs.label[order], pairs.images[order]
    fits = sizes < 2 * missing[label]
    sizes = np.where(fits, sizes, 0)
    total = np.bincount(label, sizes, len(images)).astype(np.int64)
    end = np.cumsum(sizes) - (np.cumsum(total) - total)[label]  # within the class
    # The last group stays for training where no other of its class does.
    last = (end == total[label]) & (images - taken == total)[label]
    goes = fits & (end - sizes / 2 < missing[label]) & ~last
    chosen = chosen.copy()
    chosen[pairs.group[order[goes]]] = True
    return chosen


def numbered(groups):
    """int64 `[N]`: the groups, numbered from 0 in the order of their first image."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def in_classes(labels, rng):
    """int64 `[N]`: indices of the images sorted by class, in random order within a class."""
    order = rng.permutation(len(labels))
    return order[np.argsort(labels[order], kind='stable')]


def rank_in_class(labels, counts, rng):
    """int64 `[N]`: rank of each image, from 0, in a random order of the images of its class."""
    rank = np.empty(len(labels), np.int64)
    rank[in_classes(labels, rng)] = np.arange(len(labels)) - np.repeat(
        np.cumsum(counts) - counts, counts)
    return rank


def systematic(quota, rng):
    """Rounds `[K]` numbers down or up: each right in expectation, their sum to the nearest."""
    order = rng.permutation(len(quota))
    ends = np.cumsum(quota[order])
    part = ends[-1] % 1
    # Offsets with which the whole sum rounds to the nearest number.
    low, high = (1 - part, 1.0) if part >= 0.5 else (0.0, 1 - part)
    steps = np.floor(np.append(0.0, ends) + rng.uniform(low, high)).astype(np.int64)
    rounded = np.empty(len(quota), np.int64)
    rounded[order] = np.diff(steps)
    return rounded
