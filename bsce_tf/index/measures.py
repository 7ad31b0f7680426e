"""How well an index finds images of the same class."""

import numpy as np

RECALLS = (1, 5)


def recall(same, count):
    """bool `[n]`: whether one of the `count` nearest images is of the query's class.

    Args:
      same: bool `[n, depth]`: whether each neighbour, nearest first, is of the query's class.
      count: at most depth.
    """
    return same[:, :count].any(axis=1)


def average_precision(same, references, depth):
    """float64 `[n]`: average precision of each query, cut off at its number of references.

    As MAP@R of Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check", equation 2, with
    R limited to `depth`. Of R images of the query's class in the index, let r = min(R, depth):

        AP = 1/r · Σ_{i=1..r} rel(i) · P(i),

    rel(i) whether the i-th neighbour is of the class, P(i) the share of the class among the first
    i. It is 1 where the first r neighbours are all of the class. Its mean over queries is the mean
    average precision.

    Args:
      same: bool `[n, ≥ depth]`, as in `recall`.
      references: int `[n]`: R of each query, at least 1.
      depth: limit of R.
    """
    same = same[:, :depth]
    rank = np.arange(1, same.shape[1] + 1)
    precision = np.cumsum(same, axis=1) / rank
    limit = np.minimum(references, depth)[:, None]
    return (precision * (same & (rank <= limit))).sum(axis=1) / limit[:, 0]
