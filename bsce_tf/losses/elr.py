"""Early-learning regularisation: pulls predictions towards earlier predictions for the same image.

Liu et al. 2020, "Early-Learning Regularization Prevents Memorization of Noisy Labels", section 4,
equations 6 and 9.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf.losses import balance, labels
from bsce_tf.losses.base import ClassLoss, check_fields

_CLOSEST = 1e-4  # smallest 1 − <p, t>, as in the authors' code


@keras.saving.register_keras_serializable('bsce_tf')
class EarlyLearningLoss(ClassLoss):
    """Cross-entropy + λ·log(1 − Σ p(k)·t(k)) of each example.

    t is the memory of an image, a moving average of its predictions: t ← m·t + (1 − m)·p each time
    the image is seen, from t = 0. The second term falls as p approaches t, so a label that the
    network contradicted early in training pulls less later. No gradient flows through t. Only the
    largest entries of each memory are kept, 8 bytes each: O(N·kept) bytes instead of O(N·K). With
    kept = K it is the paper's method.

    `call` needs the images' numbers to find their memories. This program's training passes them.
    Without numbers, as in Keras's `fit` and in validation, the loss is the cross-entropy alone.

    Args:
      counts: n, `[K]` training images of each class, above 0; their sum is N.
      strength: λ, 0 or more. Authors: 3 for CIFAR-10, 7 for CIFAR-100.
      memory: m, 0 to below 1. Authors: 0.7 for CIFAR-10, 0.9 for CIFAR-100.
      kept: entries to keep of each memory, at least 1.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as prior; they apply to the cross-entropy only.

    Attributes:
      state: the two variables of the memory, `[N, kept]`: class ids and values.

    Example:
      >>> loss = EarlyLearningLoss(counts=[1, 1], strength=1.0, memory=0.5)
      >>> loss.call([0], [[0.0, 0.0]], [1])  # log 2 + log(1 − 2·0.5·0.25)
      0.4054651
    """

    def __init__(self, counts, strength=3.0, memory=0.7, kept=10, name='elr', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(elr_strength=strength, elr_memory=memory, elr_kept=kept)
        balance.shares(counts, 'counts')
        self.counts = np.asarray(counts, np.float64)
        self.strength, self.memory = float(strength), float(memory)
        self.kept = min(int(kept), len(self.counts))
        shape = (int(self.counts.sum()), self.kept)
        # The ids within a row must differ, or a class would count twice.
        self.ids = keras.Variable(
            lambda shape, dtype=None: ops.broadcast_to(ops.arange(shape[1], dtype=dtype), shape),
            shape=shape, dtype='int32', trainable=False, name='elr_ids')
        self.values = keras.Variable('zeros', shape=shape, dtype='float32', trainable=False,
                                     name='elr_values')
        self.state = [self.ids, self.values]

    def from_log_p(self, log_p):
        return -log_p

    def call(self, y_true, y_pred, numbers=None):
        """Losses `[n]`; updates the memories of these images.

        Args:
          y_true: labels of n images; `labels.by_kind` lists the shapes.
          y_pred: `[n, K]`.
          numbers: integers `[n]`, 0 … N−1, of the images. If an image is twice in the batch, the
            first of its predictions is remembered. None: cross-entropy alone.
        """
        losses = super().call(y_true, y_pred)
        if numbers is None:
            return losses
        p = ops.softmax(labels.logits_of(ops.convert_to_tensor(y_pred), self.from_logits))
        ids, values = self._remembered(ops.stop_gradient(p), numbers)
        likeness = ops.sum(ops.take_along_axis(p, ids, axis=-1) * ops.cast(values, p.dtype), -1)
        return losses + self.strength * ops.log(ops.maximum(1.0 - likeness, _CLOSEST))

    def _remembered(self, p, numbers):
        """Updates t with p `[n, K]`; returns its (class ids, values), `[n, kept]` each.

        The largest entries of m·t + (1 − m)·p are among those kept before and the largest of p.
        """
        numbers = ops.convert_to_tensor(numbers)
        ids, values = ops.take(self.ids, numbers, 0), ops.take(self.values, numbers, 0)
        seen = ops.cast(ops.take_along_axis(p, ids, axis=-1), 'float32')
        values = self.memory * values + (1 - self.memory) * seen
        new, new_ids = ops.top_k(p, self.kept)
        new_ids = ops.cast(new_ids, 'int32')
        known = ops.any(new_ids[:, :, None] == ids[:, None, :], axis=-1)
        new = ops.where(known, -1.0, (1 - self.memory) * ops.cast(new, 'float32'))
        values, places = ops.top_k(ops.concatenate([values, new], -1), self.kept)
        ids = ops.take_along_axis(ops.concatenate([ids, new_ids], -1), places, axis=-1)
        # The same rows for the same image: on GPUs, which of two is written last is left to chance.
        first = ops.argmax(ops.cast(numbers[:, None] == numbers[None, :], 'int32'), axis=-1)
        ids, values = ops.take(ids, first, 0), ops.take(values, first, 0)
        _put(self.ids, numbers, ids)
        _put(self.values, numbers, values)
        return ids, values

    def vectors(self):
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        """See `base.ClassLoss`. The memory is not part of it."""
        return {**super().get_config(), 'strength': self.strength, 'memory': self.memory,
                'kept': self.kept}


def _put(variable, rows, values):
    """Replaces rows of a variable; with TensorFlow in place."""
    if keras.backend.backend() == 'tensorflow':
        import tensorflow as tf
        variable.value.scatter_update(tf.IndexedSlices(values, rows))
    else:
        variable.assign(ops.scatter_update(variable, ops.expand_dims(rows, -1), values))
