"""Confident learning on sparse probabilities: scores, the confident joint, the list of issues.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 70. The definitions are those of cleanlab 2.9, whose own routines need all N × K probabilities.
From the k best classes and the given one (`top_probabilities.Sparse`) everything here is the same
as there, with two exceptions, both only where k < K:

* A class outside of the k best cannot be seen to reach its threshold. It can change the guess of an
  image only if the k-th probability reaches the smallest threshold. `Guess.uncertain` counts the
  images for which this cannot be ruled out; if it is 0, the joint is exact.
* `adjusted_margin` compares with the best adjusted class among the k.
"""

from typing import NamedTuple

import numpy as np

# Low: probably wrong. p: probability of the given label; t: threshold of its class.
SCORES = ('self_confidence',           # p
          'normalized_margin',         # (p − largest of the other classes + 1) / 2
          'adjusted_self_confidence',  # the same two of p − t, shifted and scaled to 0 … 1
          'adjusted_margin')
_BLOCK = 2**16  # images computed at a time
_ABSENT = 2.0  # threshold of a class without images: never reached
_SLACK, _LOWEST = 1e-6, 2 * 1e-6  # as in cleanlab


class Guess(NamedTuple):
    """Which class each image is counted under in the confident joint.

    Attributes:
      classes: int32 `[N]`; −1 where no class reaches its threshold.
      uncertain: number of images for which classes outside of the k best could change that.
    """

    classes: np.ndarray
    uncertain: int


class Joint(NamedTuple):
    """The confident joint C, K × K, by its entries that are not 0.

    Attributes:
      given, guessed: int64 `[m]`, row and column of an entry.
      counts: int64 `[m]`; on the diagonal at least 1.
    """

    given: np.ndarray
    guessed: np.ndarray
    counts: np.ndarray


def thresholds(labels, given, num_classes):
    """float64 `[K]`: the mean self-confidence of each class's own images; 2 where there are none.

    Args:
      labels: int `[N]`.
      given: float `[N]`, probability of the label; NaN without a prediction.
      num_classes: K.
    """
    predicted = ~np.isnan(given)
    total = np.bincount(labels[predicted], given[predicted].astype(np.float64), num_classes)
    number = np.bincount(labels[predicted], minlength=num_classes)
    return np.maximum(np.where(number > 0, total / np.maximum(number, 1), _ABSENT), _LOWEST)


def scores(labels, sparse, limits, method):
    """float64 `[N]`, 0 … 1: how likely each label is right; NaN without a prediction.

    Equal to `cleanlab.rank.get_label_quality_scores`, see the module.

    Args:
      labels: int `[N]`.
      sparse: a `top_probabilities.Sparse`.
      limits: of `thresholds`.
      method: one of `SCORES`. The adjusted ones take into account that a network is less sure of
        some classes than of others, such as small ones.
    """
    return np.concatenate([_scores(labels[at], _part(sparse, at), limits, method)
                           for at in _blocks(len(labels))])


def guess(labels, sparse, limits):
    """The `Guess`: of the classes that reach their threshold, the most probable one."""
    found, uncertain = np.empty(len(labels), np.int32), 0
    lowest, whole = limits.min(), sparse.classes.shape[1] == len(limits)
    for at in _blocks(len(labels)):
        part, own = _part(sparse, at), labels[at]
        confident = part.probabilities >= limits[part.classes] - _SLACK
        outside = (part.given >= limits[own] - _SLACK) & (part.classes != own[:, None]).all(axis=1)
        number = confident.sum(axis=1) + outside
        only = np.where(outside, own,
                        part.classes[np.arange(len(own)), confident.argmax(axis=1)])
        best = part.classes[:, 0]
        found[at] = np.where(part.predicted & (number > 0), np.where(number > 1, best, only), -1)
        if not whole:
            unseen = part.predicted & (part.probabilities[:, -1] >= lowest - _SLACK)
            uncertain += int((unseen & ((number == 0) | ((number == 1) & (only != best)))).sum())
    return Guess(found, uncertain)


def joint(labels, guessed, num_classes):
    """The `Joint`, as `cleanlab.count.compute_confident_joint` without calibration."""
    counted = guessed >= 0
    codes = np.concatenate([labels[counted].astype(np.int64) * num_classes + guessed[counted],
                            np.arange(num_classes) * (num_classes + 1)])
    codes, counts = np.unique(codes, return_counts=True)
    given, column = np.divmod(codes, num_classes)
    # One more was put on the diagonal, so that every entry of it is there.
    counts = np.where(given == column, np.maximum(counts - 1, 1), counts)
    return Joint(given, column, counts)


def noise_rates(found, num_classes):
    """float64 `[K]`: the estimated share of wrong labels among each class's given ones.

    Args:
      found: a `Joint`.
      num_classes: K.
    """
    rows = np.bincount(found.given, found.counts, num_classes)
    diagonal = np.bincount(found.given, np.where(found.given == found.guessed, found.counts, 0),
                           num_classes)
    return 1 - diagonal / rows


def issues(labels, sparse, guessed):
    """Bool `[N]`: guessed as another class, which is also more probable than the given one.

    As `cleanlab.filter.find_label_issues` with filter_by='confident_learning'.
    """
    best, most = sparse.classes[:, 0], sparse.probabilities[:, 0]
    agrees = (best == labels) | (sparse.given + _SLACK > most)
    return sparse.predicted & (guessed >= 0) & (guessed != labels) & ~agrees


def suggestions(labels, sparse):
    """int32 `[N]`: the most probable class other than the given one."""
    first, second = sparse.classes[:, 0], sparse.classes[:, 1]
    return np.where(first == labels, second, first)


def _scores(labels, part, limits, method):
    given = part.given.astype(np.float64)
    values = part.probabilities.astype(np.float64)
    if method.startswith('adjusted'):
        # Rows of p − t + max t all have this sum, as those of p have the sum 1.
        total = 1 - limits.sum() + len(limits) * limits.max()
        given = (given - limits[labels] + limits.max()) / total
        values = (values - limits[part.classes] + limits.max()) / total
    if method.endswith('self_confidence'):
        return given
    others = np.where(part.classes == labels[:, None], -np.inf, values).max(axis=1)
    return (given - others + 1) / 2


def _part(sparse, at):
    return type(sparse)(*(values[at] for values in sparse))


def _blocks(number):
    return [slice(first, first + _BLOCK) for first in range(0, number, _BLOCK)]
