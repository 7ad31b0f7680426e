"""Which classes are labelled as which others, and how probable it is that each label is wrong.

Wrong labels are not spread evenly: people confuse classes that look alike. With s_j the calibrated
probability that an image is of class j (see `quality`) and A_jy the share of the images of class j
that are labelled y,

    P(given label y) = Σ_j s_j A_jy        P(label y is wrong) = 1 − s_y A_yy / P(given label y)

A is found by expectation maximisation (Dempster, Laird and Rubin 1977, "Maximum Likelihood from
Incomplete Data via the EM Algorithm"). For each image, A is estimated from the images of the other
networks, so that a systematic error of one network does not confirm itself. With a single network,
A stays at the prior: `PRIOR` images per class, whose wrong labels are spread evenly over the other
classes. The prior keeps chance out of classes of few images. Of the K × K pairs only those that
occur are stored: of each image, the classes with a probability of 1 % or more.
"""

from typing import NamedTuple

import numpy as np

PRIOR = 100  # images per class that the prior counts for
SHARPER = (1.0, 0.8, 0.63, 0.5)  # factors of the temperatures; the likeliest is taken
_LEAST = 0.01  # least probability of a class that is kept
_STEPS = 25  # iterations of expectation maximisation
_TINY = 1e-12


class Pairs(NamedTuple):
    """m pairs of an image and a class that it may be of.

    Attributes:
      images: int64 `[m]`, index among the n images, ascending.
      classes: int64 `[m]`.
      shares: float64 `[m]`, s: the probability that the image is of the class.
      rest: float64 `[n]`, sum of the probabilities of the classes that are left out.
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
    """The `Pairs` of several blocks of images, concatenated."""
    begins = np.cumsum([0, *(len(part.rest) for part in parts[:-1])])
    images = [part.images + begin for part, begin in zip(parts, begins, strict=True)]
    return Pairs(np.concatenate(images), *(np.concatenate(values) for values in zip(
        *(part[1:] for part in parts), strict=True)))


def wrong(labels, networks, found, noise, num_classes):
    """(probability that each label is wrong, float64 `[n]`; log likelihood of the labels).

    Args:
      labels: int `[n]`, given.
      networks: int `[n]`, 0 … R − 1: which network predicted each image.
      found: the `Pairs`.
      noise: share of wrong labels in the prior.
      num_classes: K.
    """
    given = labels[found.images].astype(np.int64)
    codes, place = np.unique(found.classes * num_classes + given, return_inverse=True)
    own, network = found.classes == given, networks[found.images]
    apart = max(noise, _TINY) / (num_classes - 1)
    base = PRIOR * np.where(own, 1 - noise, apart)
    rates = np.where(own, 0.9, 0.1 / num_classes)
    for _ in range(_STEPS):
        parts = found.shares * rates
        likelihood = np.maximum(np.bincount(found.images, parts, len(labels))
                                + found.rest * apart, _TINY)
        parts /= likelihood[found.images]
        counted = _by_others(parts, place, network, len(codes))
        number = _by_others(parts, found.classes, network, num_classes)
        rates = (counted + base) / (number + PRIOR)
    return 1 - parts[own], np.log(likelihood).sum()


def _by_others(parts, place, network, size):
    """For each part, the sum of the parts in the same place that are of other networks."""
    count = network.max() + 1
    sums = np.bincount(place * count + network, parts, size * count).reshape(size, count)
    return (sums.sum(axis=1, keepdims=True) - sums)[place, network]
