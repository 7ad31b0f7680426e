"""Which classes are labelled as which others: how probable it is that each label is wrong.

Wrong labels are not spread evenly: people confuse what looks alike. With s_j the calibrated
probability that an image is of class j (see `quality`) and A_jy the share of the images of class j
that are labelled y,

    P(given label y) = Σ_j s_j A_jy        P(label y is wrong) = 1 − s_y A_yy / P(given label y)

A is found by expectation maximisation (Dempster, Laird and Rubin 1977, "Maximum Likelihood from
Incomplete Data via the EM Algorithm"), for each image from those that other networks judged: so
neither an image nor what one network always takes for another class confirms itself. Where one
network judged all, A stays at the prior. The prior is `PRIOR` images a class, labelled as if wrong
labels fell on all others alike, so that a class of few images learns nothing from chance. Of all
K × K pairs only those that occur are kept: of an image, the classes with a probability of 1 % or
more.
"""

from typing import NamedTuple

import numpy as np

PRIOR = 100  # images of each class that are added
SHARPER = (1.0, 0.8, 0.63, 0.5)  # factors of the temperature, of which the likeliest is taken
_LEAST = 0.01  # probability from which on a class of an image is kept
_STEPS = 25  # of expectation maximisation
_TINY = 1e-12


class Pairs(NamedTuple):
    """Images with the classes that they may be of, m pairs of them.

    Attributes:
      images: int64 `[m]`, place among the n images, rising.
      classes: int64 `[m]`.
      shares: float64 `[m]`, s: the probability that the image is of the class.
      rest: float64 `[n]`, what the classes that are left out have together.
    """

    images: np.ndarray
    classes: np.ndarray
    shares: np.ndarray
    rest: np.ndarray


def pairs(labels, classes, shares, own):
    """The `Pairs` of images; the given class is always among them.

    Args:
      labels: int `[n]`, given.
      classes: int `[n, k]`, the most probable classes.
      shares: float `[n, k]`, their calibrated probabilities.
      own: float `[n]`, that of the given class.
    """
    kept = (shares >= _LEAST) & (classes != labels[:, None])
    rows, columns = np.nonzero(kept)
    images = np.concatenate([np.arange(len(labels)), rows])
    order = np.argsort(images, kind='stable')
    rest = 1 - own - np.where(kept, shares, 0).sum(axis=1)
    return Pairs(images[order], np.concatenate([labels, classes[rows, columns]])[order],
                 np.concatenate([own, shares[rows, columns]])[order], np.maximum(rest, 0))


def joined(parts):
    """The `Pairs` of several lots of images, one after the other."""
    begins = np.cumsum([0, *(len(part.rest) for part in parts[:-1])])
    images = [part.images + begin for part, begin in zip(parts, begins, strict=True)]
    return Pairs(np.concatenate(images), *(np.concatenate(values) for values in zip(
        *(part[1:] for part in parts), strict=True)))


def wrong(labels, networks, found, noise, num_classes):
    """(probability that each label is wrong, float64 `[n]`; log likelihood of the labels).

    Args:
      labels: int `[n]`, given.
      networks: int `[n]`, 0 … R − 1: which network judged each image.
      found: the `Pairs`.
      noise: share of wrong labels that the prior has.
      num_classes: K.
    """
    given = labels[found.images].astype(np.int64)
    codes, place = np.unique(found.classes * num_classes + given, return_inverse=True)
    own, judge = found.classes == given, networks[found.images]
    apart = max(noise, _TINY) / (num_classes - 1)
    base = PRIOR * np.where(own, 1 - noise, apart)
    rates = np.where(own, 0.9, 0.1 / num_classes)
    for _ in range(_STEPS):
        parts = found.shares * rates
        likelihood = np.maximum(np.bincount(found.images, parts, len(labels))
                                + found.rest * apart, _TINY)
        parts /= likelihood[found.images]
        counted = _by_others(parts, place, judge, len(codes))
        number = _by_others(parts, found.classes, judge, num_classes)
        rates = (counted + base) / (number + PRIOR)
    return 1 - parts[own], np.log(likelihood).sum()


def _by_others(parts, place, judge, size):
    """Of each part, the sum of those in the same place that other networks judged."""
    count = judge.max() + 1
    sums = np.bincount(place * count + judge, parts, size * count).reshape(size, count)
    return (sums.sum(axis=1, keepdims=True) - sums)[place, judge]
