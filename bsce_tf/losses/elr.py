"""Early-learning regularisation: an image is held to what the network said of it before.

Liu et al. 2020, "Early-Learning Regularization Prevents Memorization of Noisy Labels", section 4,
equations 6 and 9.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf.losses import balance, labels
from bsce_tf.losses.base import ClassLoss, check_fields

_CLOSEST = 1e-4  # of 1 − <p, t>, as the authors' program has it


@keras.saving.register_keras_serializable('bsce_tf')
class EarlyLearningLoss(ClassLoss):
    """Cross-entropy + λ·log(1 − Σ p(k)·t(k)) of each example.

    t is the memory of an image: t ← m·t + (1 − m)·p each time that it is seen, from 0 on. The term
    falls as p comes close to t, so a label that the network disbelieved early pulls less later. No
    gradient goes through t. Of each memory only the largest entries are kept, 8 bytes each, so the
    state takes O(N·kept), never N × K; with kept = K it is the paper's.

    The memory needs the image's number, which `call` takes besides labels and predictions and the
    program's own training gives it. Without numbers, as in Keras's `fit` and in validation, the
    loss is the cross-entropy alone.

    Args:
      counts: n, `[K]` training images of each class, above 0; their sum is N.
      strength: λ, 0 or more. Authors: 3 for CIFAR-10, 7 for CIFAR-100.
      memory: m, 0 to below 1. Authors: 0.7 for CIFAR-10, 0.9 for CIFAR-100.
      kept: entries of each memory that are kept, at least 1.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as prior; they concern the cross-entropy alone.

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
        # Ids of a row always differ from each other, so that none is counted twice.
        self.ids = keras.Variable(
            lambda shape, dtype=None: ops.broadcast_to(ops.arange(shape[1], dtype=dtype), shape),
            shape=shape, dtype='int32', trainable=False, name='elr_ids')
        self.values = keras.Variable('zeros', shape=shape, dtype='float32', trainable=False,
                                     name='elr_values')
        self.state = [self.ids, self.values]

    def of_log_p(self, log_p):
        """See `base.ClassLoss`."""
        return -log_p

    def call(self, y_true, y_pred, numbers=None):
        """Losses `[n]`; see `labels.by_kind` for the shapes of labels.

        Args:
          y_true: labels of n images.
          y_pred: `[n, K]`.
          numbers: whole numbers `[n]`, 0 … N−1, of the images; their memories are brought up to
            date. Of an image that comes twice in a batch one look is remembered. None: no memory.
        """
        losses = super().call(y_true, y_pred)
        if numbers is None:
            return losses
        p = ops.softmax(labels.logits_of(ops.convert_to_tensor(y_pred), self.from_logits))
        ids, values = self._remembered(ops.stop_gradient(p), numbers)
        likeness = ops.sum(ops.take_along_axis(p, ids, axis=-1) * ops.cast(values, p.dtype), -1)
        return losses + self.strength * ops.log(ops.maximum(1.0 - likeness, _CLOSEST))

    def _remembered(self, p, numbers):
        """(ids, values) `[n, kept]` of t after p `[n, K]`, which are noted.

        The largest entries of m·t + (1 − m)·p are among those kept so far and the largest of p.
        """
        ids, values = ops.take(self.ids, numbers, 0), ops.take(self.values, numbers, 0)
        seen = ops.cast(ops.take_along_axis(p, ids, axis=-1), 'float32')
        values = self.memory * values + (1 - self.memory) * seen
        new, new_ids = ops.top_k(p, self.kept)
        new_ids = ops.cast(new_ids, 'int32')
        known = ops.any(new_ids[:, :, None] == ids[:, None, :], axis=-1)
        new = ops.where(known, -1.0, (1 - self.memory) * ops.cast(new, 'float32'))
        values, places = ops.top_k(ops.concatenate([values, new], -1), self.kept)
        ids = ops.take_along_axis(ops.concatenate([ids, new_ids], -1), places, axis=-1)
        _put(self.ids, numbers, ids)
        _put(self.values, numbers, values)
        return ids, values

    def vectors(self):
        """See `base.ClassLoss`."""
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        """See Keras. The memory is not part of it."""
        return {**super().get_config(), 'strength': self.strength, 'memory': self.memory,
                'kept': self.kept}


def _put(variable, rows, values):
    """Replaces rows of a variable; on TensorFlow without a copy of the others."""
    if keras.backend.backend() == 'tensorflow':
        import tensorflow as tf
        variable.value.scatter_update(tf.IndexedSlices(values, rows))
    else:
        variable.assign(ops.scatter_update(variable, ops.expand_dims(rows, -1), values))
