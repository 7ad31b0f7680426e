"""Errors per class, confused pairs and the most confident mistakes, without a K × K matrix."""

from typing import NamedTuple

import numpy as np

from bsce_tf import metrics

GROUPS = ('head', 'medium', 'tail')


class Classes(NamedTuple):
    """Counts and errors of the K classes, arrays `[K]`.

    Attributes:
      error: top-1 error, 0 … 1; NaN where no image of the class was evaluated.
      right: evaluated images that were predicted correctly.
      images: evaluated images.
      train: training images.
      group: index in `GROUPS`; −1 for a class without training images.
    """

    error: np.ndarray
    right: np.ndarray
    images: np.ndarray
    train: np.ndarray
    group: np.ndarray


class Pair(NamedTuple):
    """Two classes that the model confuses.

    Attributes:
      first, second: class ids, so that `forth` ≥ `back`.
      forth: number of images of `first` that are predicted as `second`.
      back: number of images of `second` that are predicted as `first`.
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
    """Errors of the whole set, as `metrics.summary`; {} without any image."""
    if not classes.images.sum():
        return {}
    return metrics.summary(classes.right, classes.images, classes.train)


def pairs(labels, predictions, num_classes, most):
    """The pairs of classes with the most images of one predicted as the other, at least two.

    Args:
      labels: int `[n]`.
      predictions: a `predictions.Predictions`.
      num_classes: K.
      most: pairs to return, at most.

    Returns:
      (list of `Pair`, most mistakes first, ties by class ids; number of pairs with one mistake).
    """
    wrong = mistaken(labels, predictions)
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
    """Ids of the classes with the highest errors; ties: more images first."""
    seen = np.flatnonzero(classes.images > 0)
    order = np.lexsort((seen, -classes.images[seen], -classes.error[seen]))
    ids = seen[order][:most]
    return ids[classes.error[ids] > 0]


def usual_mistake(labels, predictions, label):
    """(class that most misclassified images of a class are predicted as, how many), or None."""
    wrong = mistaken(labels, predictions) & (labels == label)
    if not wrong.any():
        return None
    others, number = np.unique(predictions.predicted[wrong], return_counts=True)
    return int(others[number.argmax()]), int(number.max())


def most_confident(labels, predictions, most):
    """Indices of the misclassified images, the highest predicted probability first."""
    wrong = np.flatnonzero(mistaken(labels, predictions))
    return wrong[np.argsort(-predictions.probability[wrong], kind='stable')][:most]


def confused_as(labels, predictions, label, other, most):
    """Indices of images of one class predicted as another, the highest probability first."""
    found = np.flatnonzero(predictions.good & (labels == label)
                           & (predictions.predicted == other))
    return found[np.argsort(-predictions.probability[found], kind='stable')][:most]


def mistaken(labels, predictions):
    """bool `[n]`: the images that are predicted as another class."""
    return predictions.good & (predictions.predicted >= 0) & (predictions.predicted != labels)
