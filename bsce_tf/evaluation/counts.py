"""Counts the errors of several rankings in one pass through a set: `[K, 3]` counts per ranking."""

import math

import numpy as np
import tensorflow as tf

from bsce_tf import metrics, progress
from bsce_tf.errors import RunError
from bsce_tf.evaluation import forward


def hits(ranking, labels):
    """bool `[n, 2]`: whether the label is the top-1 class, and whether it is among the top 5.

    Of equal values the lower class id ranks higher. A row with NaN is never a hit.

    Args:
      ranking: float `[n, K]`, such as logits; the class with the largest value ranks first.
      labels: int `[n]`.
    """
    best = tf.math.top_k(ranking, min(5, ranking.shape[-1])).indices
    same = tf.equal(best, tf.cast(labels, tf.int32)[:, None])
    same &= ~tf.reduce_any(tf.math.is_nan(ranking), axis=-1, keepdims=True)
    return tf.stack([same[:, 0], tf.reduce_any(same, axis=-1)], axis=-1)


class Counts:
    """Counts of hits per class, for several rankings of the same images.

    Args:
      names: of the R rankings.
      num_classes: K.
    """

    def __init__(self, names, num_classes):
        self.names = list(names)
        # Per class: images whose label is not in the top 5, is in the top 5, is the top-1 class.
        self._counts = np.zeros([len(self.names), num_classes, 3])

    @property
    def images(self):
        """Number of images counted so far."""
        return self._counts[0].sum()

    def update(self, hit, labels, weights):
        """Adds a batch.

        Args:
          hit: bool `[n, R, 2]`, see `hits`.
          labels: int `[n]`.
          weights: `[n]`, 1 or 0; 0 for images that are not counted.
        """
        for counts, (best, five) in zip(self._counts, hit.transpose(1, 2, 0), strict=True):
            np.add.at(counts.reshape(-1), 3 * labels + best + five, weights)

    def errors(self, train_counts):
        """{name: `metrics.summary` with None for NaN}; `train_counts` is explained there."""
        found = {}
        for name, counts in zip(self.names, self._counts, strict=True):
            errors = metrics.summary(counts[:, 2], counts.sum(axis=-1), train_counts,
                                     counts[:, 1:].sum(axis=-1))
            found[name] = {key: None if isinstance(value, float) and math.isnan(value) else value
                           for key, value in errors.items()}
        return found


def count(examples, views, rankings, devices, batch_size, bad, title):
    """`Counts` of several rankings over all images.

    Args:
      examples: labelled `Examples`.
      views: list of `View`.
      rankings: function of the crops of a batch (a list, one item per view) that gives pairs of a
        name and a ranking `[n, K]`.
      devices, batch_size, bad: see `forward.over`.
      title: of the progress bar.

    Raises:
      InputError: if an image is bad and `bad` says to stop.
      RunError: if no good image is left.
    """
    names = []

    def compute(batch):
        found = dict(rankings(batch.crops))
        names[:] = found
        return {'hits': tf.stack([hits(ranking, batch.labels) for ranking in found.values()], 1),
                'labels': batch.labels}

    found = None
    with progress.Bar(title, len(examples)) as bar:
        for part in forward.over(examples, views, compute, devices, batch_size, bad):
            found = found or Counts(names, examples.num_classes)
            found.update(part['hits'], part['labels'], part['good'])
            bar.update(len(part['good']))
    if not found.images:
        raise RunError(f'{examples.origin}: none of the {len(examples)} images is good; expected '
                       'some to evaluate.')
    return found
