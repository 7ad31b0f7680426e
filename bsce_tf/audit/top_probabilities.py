"""The probabilities kept of each image: those of the top-k classes and of the given one, not all K.

Of 2.5 million images all 50,030 probabilities each take 500 GB; the top 20 take 0.4 GB.
"""

from typing import NamedTuple

import numpy as np


class Sparse(NamedTuple):
    """Probabilities of N images, each by a network that was not trained on it.

    Attributes:
      classes: int32 `[N, k]`, the most probable classes, best first.
      probabilities: float32 `[N, k]`, of these classes.
      given: float32 `[N]`, that of the given label; NaN for an image without a prediction, whose
        other entries mean nothing.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    given: np.ndarray

    @property
    def predicted(self):
        """Bool `[N]`: whether an image has probabilities."""
        return ~np.isnan(self.given)


def empty(number, top_k):
    """`Sparse` of images of which none has a prediction yet."""
    return Sparse(np.zeros((number, top_k), np.int32), np.zeros((number, top_k), np.float32),
                  np.full(number, np.nan, np.float32))


def reduce(probabilities, labels, top_k):
    """The `Sparse` of a batch of rows with all K probabilities.

    Args:
      probabilities: float `[b, K]`.
      labels: int `[b]`, the given classes.
      top_k: k, or K if that is less. Of equal probabilities the lower class id comes first.
    """
    size = probabilities.shape[1]
    if top_k < size:
        chosen = np.sort(np.argpartition(probabilities, size - top_k, axis=1)[:, size - top_k:])
    else:
        chosen = np.broadcast_to(np.arange(size), probabilities.shape)
    values = np.take_along_axis(probabilities, chosen, axis=1)
    order = np.argsort(-values, axis=1, kind='stable')
    return Sparse(np.take_along_axis(chosen, order, axis=1).astype(np.int32),
                  np.take_along_axis(values, order, axis=1).astype(np.float32),
                  probabilities[np.arange(len(labels)), labels].astype(np.float32))
