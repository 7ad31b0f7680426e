"""Makes a clean, balanced set long-tailed and wrongly labelled, to study both."""

import numpy as np

from bsce_tf import fields
from bsce_tf.data import split
from bsce_tf.errors import InputError

# Classes that people confuse, by source. T-shirt and shirt, pullover and coat, sneaker and boot.
PAIRS = {'fashion_mnist': ((0, 6), (2, 4), (7, 9))}


def long_tail(labels, num_classes, imbalance, seed=0, class_names=()):
    """Chooses images so that class sizes fall geometrically from class 0 to class K−1.

    Class k keeps n_max · imbalance^(−k / (K−1)) of its images, the usual long-tailed benchmark (Cui
    et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", section 5.1).

    Args:
      labels: int `[N]`.
      num_classes: K.
      imbalance: largest class / smallest, ≥ 1; 1 keeps everything.
      seed: of the choice.
      class_names: K names, for messages; empty: messages give the ids.

    Returns:
      int64 array: the indices kept, ascending.

    Raises:
      InputError: if imbalance < 1 or a class has too few images for its place in the tail.
    """
    fields.check('data.imbalance', imbalance)
    labels = np.asarray(labels)
    if imbalance == 1:
        return np.arange(len(labels))
    counts = np.bincount(labels, minlength=num_classes)
    fall = imbalance ** (-np.arange(num_classes) / max(num_classes - 1, 1))
    largest = (counts / fall).min()
    wanted = np.round(largest * fall).astype(int)
    if wanted[-1] < 1:
        fewest = int((counts / fall).argmin())  # this class limits the sizes of all
        last, scarce = (f"'{class_names[k]}'" if len(class_names) else f'{k}'
                        for k in (num_classes - 1, fewest))
        raise InputError(f'data.imbalance: found {imbalance}, which leaves class {last} without '
                         f'images, as class {scarce} has {counts[fewest]}; expected '
                         f'{"a smaller number" if counts[fewest] else "images of every class"}.')
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = [order[labels[order] == k][:wanted[k]] for k in range(num_classes)]
    return np.sort(np.concatenate(kept))


def label_noise(labels, num_classes, rate, kind='symmetric', pairs=(), seed=0):
    """Makes a share of the labels of every class wrong.

    On a long tail, symmetric noise fills small classes with images of large ones. Proportional
    noise keeps the class sizes, as noise on the web does.

    Args:
      labels: int `[N]`, the right ones.
      num_classes: K ≥ 2.
      rate: share of wrong labels, 0 … 1. It holds in each class to half an image; if proportional,
        to one image in each class and to half an image in total.
      kind: 'symmetric', any other class with equal probability; 'proportional', from class i to
        class j with probability n(j) / (N − n(i)) (Wei et al. 2021, "Robust Long-Tailed Learning
        under Label Noise", section 3), but one image of each class keeps its label, so that no
        class becomes empty; 'asymmetric', the partner in `pairs`, both ways; classes without a
        partner stay clean.
      pairs: pairs of class ids, for 'asymmetric'.
      seed: of the choice.

    Returns:
      int32 `[N]` labels, some of them wrong.

    Raises:
      InputError: if the rate is outside 0 … 1, the kind is unknown, 'asymmetric' has no pairs, or
        only one class has images.
    """
    fields.check('data.noise', rate)
    fields.check('data.noise_kind', kind)
    if kind == 'asymmetric' and rate and not pairs:
        raise InputError("data.noise_kind: found 'asymmetric'; expected symmetric or proportional, "
                         'as no pairs of confusable classes are known for this source.')
    labels = np.asarray(labels, np.int32)
    counts = np.bincount(labels, minlength=num_classes)
    if rate and (counts > 0).sum() < 2:
        raise InputError('data.noise: found images of one class alone; expected two or more.')
    if kind == 'proportional':
        return _proportional(labels, counts, rate, seed)
    rng = np.random.default_rng(seed)
    noisy = labels.copy()
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    for k in range(num_classes):
        members = np.flatnonzero(labels == k)
        wrong = rng.choice(members, int(round(rate * len(members))), replace=False)
        if kind == 'symmetric':
            noisy[wrong] = (k + rng.integers(1, num_classes, len(wrong))) % num_classes
        elif k in partner:
            noisy[wrong] = partner[k]
    return noisy


def _proportional(labels, counts, rate, seed):
    """Wrong labels in proportion to class sizes; see `label_noise`."""
    # Another stream than in `split.stratified_split`, which would else hold out the wrong labels.
    rng = np.random.default_rng([seed, 1])
    wanted = split.systematic(np.minimum(rate * counts, np.maximum(counts - 1, 0)), rng)
    wrong = np.flatnonzero(split.rank_in_class(labels, counts, rng) < wanted[labels])
    own = counts[labels[wrong]]
    before = (np.cumsum(counts) - counts)[labels[wrong]]
    # A uniform draw among the images of all other classes.
    place = rng.integers(0, len(labels) - own)
    place += np.where(place >= before, own, 0)
    noisy = labels.copy()
    noisy[wrong] = np.searchsorted(np.cumsum(counts), place, side='right')
    return noisy
