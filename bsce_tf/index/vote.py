"""The vote of nearest neighbours, and how it is joined with a classifier.

Of an image x, let s_i be the cosines of its k nearest images and y_i their classes. The share of
class c in the vote is, with the temperature T (Wu et al. 2018, "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination", section 3.4),

    V(c|x) = Σ_{i: y_i = c} exp(s_i / T) / Σ_i exp(s_i / T).

The two are joined as in Khandelwal et al. 2020, "Generalization through Memorization: Nearest
Neighbor Language Models", equation 3, with the share λ (`neighbours.mix`):

    P(c|x) = λ·V(c|x) + (1 − λ)·C(c|x),

C the classifier's probability, of several runs their mean; 0 for a class that it does not know.
"""

import numpy as np

BY = ('classifier', 'neighbours', 'both')


def shares(cosines, labels, temperature, num_classes):
    """V, float32 `[n, num_classes]`; a row without a neighbour is 0.

    Args:
      cosines: float `[n, k]`; −inf where there is no neighbour.
      labels: int `[n, k]`, classes of the neighbours; ignored where there is none.
      temperature: T > 0.
      num_classes: C.
    """
    cosines = np.asarray(cosines, np.float64)
    top = cosines.max(axis=1, keepdims=True)
    weights = np.exp((cosines - np.where(np.isfinite(top), top, 0)) / temperature)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    found = np.zeros((len(cosines), num_classes))
    np.add.at(found, (np.arange(len(cosines))[:, None], np.where(weights > 0, labels, 0)), weights)
    return found.astype(np.float32)


def joined(votes, probabilities, mix):
    """P, float32 `[n, C]`.

    Args:
      votes: V, `[n, C]`; the classifier's classes come first.
      probabilities: C, `[n, K]`, K ≤ C.
      mix: λ, 0 to 1.
    """
    found = np.float32(mix) * votes
    found[:, :probabilities.shape[1]] += np.float32(1 - mix) * probabilities
    return found


def best(scores, count):
    """int64 `[n, count]`: the classes with the highest scores, best first; ties: the lower id."""
    return np.argsort(-scores, axis=1, kind='stable')[:, :count]
