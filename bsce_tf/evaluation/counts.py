"""Errors of many rankings over one pass through a set: `[K, 3]` a ranking."""

import math

import numpy as np
import tensorflow as tf

from bsce_tf import metrics, progress
from bsce_tf.errors import RunError
from bsce_tf.evaluation import forward


def hits(ranking, labels):
    """bool `[n, 2]`: whether the label comes first, and whether it is among the first five.

    Of equal values the lower class id comes first; a row with NaN hits nothing.

    Args:
      ranking: `[n, K]`, such as logits: the larger, the better.
      labels: int `[n]`.
    """
    best = tf.math.top_k(ranking, min(5, ranking.shape[-1])).indices
    same = tf.equal(best, tf.cast(labels, tf.int32)[:, None])
    same &= ~tf.reduce_any(tf.math.is_nan(ranking), axis=-1, keepdims=True)
    return tf.stack([same[:, 0], tf.reduce_any(same, axis=-1)], axis=-1)


class Counts:
    """Right answers of each class, for several rankings of the same images.

    Args:
      names: of the rankings, R of them.
      num_classes: K.
    """

    def __init__(self, names, num_classes):
        self.names = list(names)
        # images whose label is not among the five best, is among them, is the best
        self._counts = np.zeros([len(self.names), num_classes, 3])

    @property
    def images(self):
        """How many images count so far."""
        return self._counts[0].sum()

    def update(self, hit, labels, weights):
        """Counts a batch.

        Args:
          hit: bool `[n, R, 2]`, see `hits`.
          labels: int `[n]`.
          weights: `[n]`; 0 for images that do not count.
        """
        for counts, (best, five) in zip(self._counts, hit.transpose(1, 2, 0), strict=True):
            np.add.at(counts.reshape(-1), 3 * labels + best + five, weights)

    def errors(self, train_counts):
        """{name: `metrics.summary`}, with None for NaN; see there for `train_counts`."""
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
      rankings: function of the crops of a batch, a list with those of each view, that gives pairs
        of a name and a ranking `[n, K]`.
      devices, batch_size, bad: see `forward.over`.
      title: of the progress.

    Raises:
      InputError: if an image is bad and bad images are to stop the run.
      RunError: if they are to be skipped and none is left.
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
