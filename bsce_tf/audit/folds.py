"""The folds of a cross-validation: which one holds out each image."""

import numpy as np

from bsce_tf.data import split
from bsce_tf.errors import InputError


def fold_of(labels, num_classes, folds, seed, groups=None):
    """Folds of images, whole groups at a time.

    Every class gives each fold the same number of its groups, or one more or less, the larger ones
    first. Groups of several classes, and all groups of these classes, go one after the other to the
    fold that has the smallest share of their classes so far. Without its only group, or the only
    fold that has its groups, a class cannot be learnt; its images get no out-of-sample prediction.

    Args:
      labels: int `[N]`.
      num_classes: K.
      folds: k ≥ 2.
      seed: of the choice.
      groups: int `[N]`; images with the same number are in one fold. None: each is its own group.

    Returns:
      (int64 `[N]`: the fold that is trained without an image, −1 for none; bool `[N]`: whether the
      network of that fold predicts it).

    Raises:
      InputError: if there are fewer than k groups to hold out.
    """
    groups = np.arange(len(labels)) if groups is None else split.numbered(groups)
    pairs = split.count_pairs(labels, groups, num_classes)
    number = np.bincount(pairs.label, minlength=num_classes)  # of groups with images of a class
    several = number[pairs.label] > 1
    shared = np.zeros(num_classes, bool)
    shared[pairs.label[pairs.mixed[pairs.group]]] = True
    fold = _one_by_one(pairs, np.unique(pairs.group[shared[pairs.label] & several]), folds, seed,
                       num_classes)
    single = np.flatnonzero(~shared[pairs.label])
    order = single[split.in_classes(pairs.label[single], np.random.default_rng(seed))]
    order = order[np.lexsort((-pairs.images[order], pairs.label[order]))]
    order = order[several[order]]
    fold[pairs.group[order]] = np.arange(len(order)) % folds
    predicted = _in_several_folds(pairs, fold, num_classes)[labels] & (fold[groups] >= 0)
    held_out = np.unique(groups[predicted])
    filled = np.unique(fold[held_out]).size
    if filled < folds:
        what = 'images' if pairs.groups == len(labels) else 'groups'
        raise InputError(f'audit.folds: found {folds}, and {held_out.size} {what} of classes that '
                         f'have several, which fill {filled} folds; expected at most as many.')
    return fold[groups], predicted


def _one_by_one(pairs, chosen, folds, seed, num_classes):
    """int64 `[G]`: folds of the chosen groups, the largest first; −1 for the others."""
    fold = np.full(pairs.groups, -1)
    sizes = np.bincount(pairs.group, pairs.images, pairs.groups)
    images = np.bincount(pairs.label, pairs.images, num_classes).tolist()
    order = np.random.default_rng([seed, 2]).permutation(chosen)
    order = order[np.argsort(-sizes[order], kind='stable')]
    there, total = {}, [0] * folds  # images of each class in each fold, and of all
    for group, labels, counts in pairs.of(order):
        own = [(there.setdefault(k, [0] * folds), n, n / images[k])
               for k, n in zip(labels, counts, strict=True)]
        best = min(range(folds), key=lambda f: (sum(have[f] * share for have, _, share in own),
                                                total[f]))
        for have, n, _ in own:
            have[best] += n
        total[best] += sum(counts)
        fold[group] = best
    return fold


def _in_several_folds(pairs, fold, num_classes):
    """bool `[K]`: whether each class is in the training set of every fold's network."""
    first, last = np.full(num_classes, np.iinfo(np.int64).max), np.full(num_classes, -2)
    np.minimum.at(first, pairs.label, fold[pairs.group])
    np.maximum.at(last, pairs.label, fold[pairs.group])
    return first < last
