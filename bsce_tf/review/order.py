"""In which order to look at wrong labels: those first that cost the mean top-1 error most.

The mean top-1 error is the mean of the errors e_k of K classes. To first order, e_k depends on the
share of wrong labels among the n_k images of class k, and on the logarithm of the number of its
right ones, as learning curves are close to power laws. Image i has the label y, which is wrong with
the probability w_i, and t is suggested. Moved from y to t, it changes the share of y by 1 / n_y and
the logarithm of t by about 1 / n_t. With the same sensitivity of all classes to both,

    gain_i = w_i · (1 / n_y + 1 / n_t)

Two things are neglected: that the suggestion may be wrong, too, and that classes differ in how much
a wrong label harms them.
"""

import numpy as np

from bsce_tf import fields
from bsce_tf.data import split

ORDERS = fields.choices('review.order')


def gain(wrong, given, suggested, counts):
    """float64 `[n]`, in units of (1 / K) · error of a class.

    Args:
      wrong: float `[n]`, probability that each label is wrong.
      given, suggested: int `[n]`, classes.
      counts: int `[K]`, images of each class by the given labels; an empty class counts as of one.
    """
    sizes = np.maximum(counts, 1)
    return wrong * (1 / sizes[given] + 1 / sizes[suggested])


def share(wrong, given, counts):
    """float64 `[n]`: the same where only the given class counts, as of a removed image."""
    return wrong / np.maximum(counts, 1)[given]


def arranged(name, wrong, scores, given, suggested, counts):
    """int64 `[n]`: places in the order to look at; of equal ones, the lower score first.

    Args:
      name: one of `ORDERS`.
      scores: float `[n]`, of the audit, low for probably wrong labels.
      wrong, given, suggested, counts: see `gain`.
    """
    if name == 'audit':
        return np.argsort(scores, kind='stable')
    worth = gain(wrong, given, suggested, counts) if name == 'gain' else share(wrong, given, counts)
    return np.lexsort((scores, -np.nan_to_num(worth)))


def sample(labels, counts, number, seed):
    """int64 `[m]`: images drawn at random, one of every class, then a second of every class, …

    Args:
      labels: int `[N]`.
      counts: int `[K]`, images of each class.
      number: images of each class; a class that has fewer gives all.
      seed: the same seed gives the same images.
    """
    rng = np.random.default_rng([seed, 5])
    rank = split.rank_in_class(labels, counts, rng)
    order = rng.permutation(len(labels))
    order = order[rank[order] < number]
    return order[np.argsort(rank[order], kind='stable')]
