"""Errors of classes, confused pairs and the surest mistakes, counted without a K × K matrix."""

from typing import NamedTuple

import numpy as np

from bsce_tf import metrics

GROUPS = ('head', 'medium', 'tail')


class Classes(NamedTuple):
    """Of each class, `[K]` each.

    Attributes:
      error: top-1 error, 0 … 1; NaN where no image of the class was evaluated.
      right: evaluated images that were given their class.
      images: evaluated images.
      train: training images.
      group: place in `GROUPS`; −1 for a class without training images.
    """

    error: np.ndarray
    right: np.ndarray
    images: np.ndarray
    train: np.ndarray
    group: np.ndarray


class Pair(NamedTuple):
    """Two classes that the model takes for each other.

    Attributes:
      first, second: class ids; more images of `first` were taken for `second` than the other way.
      forth: images of `first` that the model calls `second`.
      back: images of `second` that the model calls `first`.
    """

    first: int
    second: int
    forth: int
    back: int


def by_class(labels, predictions, train_counts):
    """The `Classes` of a set.

    Args:
      labels: int `[n]`.
      predictions: a `predictions.Predictions` of the same images.
      train_counts: int `[K]`.
    """
    train_counts = np.asarray(train_counts, np.int64)
    good = predictions.good
    size = len(train_counts)
    images = np.bincount(labels[good], minlength=size)
    right = np.bincount(labels[good & (predictions.predicted == labels)], minlength=size)
    group = np.full(size, -1)
    for i, ids in enumerate(metrics.class_groups(train_counts).values()):
        group[ids] = i
    with np.errstate(invalid='ignore', divide='ignore'):
        return Classes(1.0 - right / images, right, images, train_counts, group)


def summary(classes):
    """Errors of the whole set, as `metrics.summary`; NaN where there is no image."""
    if not classes.images.sum():
        return {}
    return metrics.summary(classes.right, classes.images, classes.train)


def pairs(labels, predictions, num_classes, most):
    """The pairs of classes with the most images of one taken for the other.

    One mistake is no confusion, so a pair has two or more.

    Args:
      labels: int `[n]`.
      predictions: a `predictions.Predictions`.
      num_classes: K.
      most: pairs to give, at most.

    Returns:
      (list of `Pair`, most mistakes first, ties by class ids; number of pairs with one mistake).
    """
    wrong = _wrong(labels, predictions)
    a, b = labels[wrong].astype(np.int64), predictions.predicted[wrong].astype(np.int64)
    codes, place = np.unique(np.minimum(a, b) * num_classes + np.maximum(a, b),
                             return_inverse=True)
    upward = np.bincount(place, weights=a < b, minlength=len(codes)).astype(int)
    both = np.bincount(place, minlength=len(codes))
    found = []
    for i in np.argsort(-both, kind='stable')[:min(most, int((both > 1).sum()))]:
        low, high = divmod(int(codes[i]), num_classes)
        up, down = int(upward[i]), int(both[i] - upward[i])
        found.append(Pair(low, high, up, down) if up >= down else Pair(high, low, down, up))
    return found, int((both == 1).sum())


def worst(classes, most):
    """Ids of the classes with the highest errors; of equal ones, that with more images first."""
    seen = np.flatnonzero(classes.images > 0)
    order = np.lexsort((seen, -classes.images[seen], -classes.error[seen]))
    ids = seen[order][:most]
    return ids[classes.error[ids] > 0]


def usual_mistake(labels, predictions, label):
    """(class that most of a class's wrong images are taken for, how many); None if there is none.
    """
    wrong = _wrong(labels, predictions) & (labels == label)
    if not wrong.any():
        return None
    others, number = np.unique(predictions.predicted[wrong], return_counts=True)
    return int(others[number.argmax()]), int(number.max())


def surest(labels, predictions, most):
    """Places of the wrong images whose prediction has the highest probability."""
    wrong = np.flatnonzero(_wrong(labels, predictions))
    return wrong[np.argsort(-predictions.probability[wrong], kind='stable')][:most]


def taken_for(labels, predictions, label, other, most):
    """Places of images of one class that are taken for another, the surest first."""
    found = np.flatnonzero(predictions.good & (labels == label)
                           & (predictions.predicted == other))
    return found[np.argsort(-predictions.probability[found], kind='stable')][:most]


def _wrong(labels, predictions):
    return predictions.good & (predictions.predicted >= 0) & (predictions.predicted != labels)
