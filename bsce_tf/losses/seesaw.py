"""Seesaw loss: images of frequent classes push the logits of rare classes down less.

Wang et al. 2021, "Seesaw Loss for Long-Tailed Instance Segmentation", section 3. Their counts
accumulate during training; here they are given at the start.
"""

import math

import keras
import numpy as np
from keras import ops

from bsce_tf.errors import InputError
from bsce_tf.losses import balance, cross_entropy
from bsce_tf.losses.base import ClassLoss, check, check_fields, take

_LEAST = math.log(0.01)


@keras.saving.register_keras_serializable('bsce_tf')
class SeesawLoss(ClassLoss):
    """−log(exp z(y) / Σ S(y, k)·exp z(k)) of each example, S = M·C, a constant for the gradient.

    The mitigation factor M(y, k) = min(1, n(k) / n(y))^p spares rare classes, the compensation
    factor C(y, k) = max(1, p(k) / p(y))^q punishes wrong answers; both are 1 for k = y. In C, p(y)
    is at least 0.01, as in the authors' code: with many classes p(k) / p(y) has no bound at the
    start. It takes hard labels only: mixed labels would need S for every pair of classes.

    Args:
      counts: n, `[K]` images of each class, above 0.
      p: exponent of the mitigation factor, 0 or more. Paper: 0.8.
      q: exponent of the compensation factor, 0 or more. Paper: 2.
      name: of the loss.
      **arguments: of `base.ClassLoss`; `label_smoothing` must be 0.

    Example:
      >>> SeesawLoss(counts=[4, 1], p=0.5)([0], [[0.0, 0.0]])  # M = 1/2, C = 1: log 1.5
      0.4054651
    """

    def __init__(self, counts, p=0.8, q=2.0, name='seesaw', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(seesaw_p=p, seesaw_q=q)
        check('label_smoothing', self.label_smoothing, not self.label_smoothing,
              '0, as seesaw takes hard labels alone')
        self.counts, self.p, self.q = np.asarray(counts, np.float64), float(p), float(q)
        self.log_counts = np.log(balance.shares(counts, 'counts')).astype(np.float32)

    def hard_losses(self, ids, logits):
        log_counts = ops.convert_to_tensor(self.log_counts, dtype=logits.dtype)
        own = take(self.log_counts, ids, logits)[..., None]
        fixed = ops.log_softmax(ops.stop_gradient(logits))
        true = ops.maximum(ops.take_along_axis(fixed, ids[..., None], axis=-1), _LEAST)
        factor = (self.p * ops.minimum(log_counts - own, 0.0)  # log S, 0 for k = y
                  + self.q * ops.maximum(fixed - true, 0.0))
        return cross_entropy.sparse(ids, logits + factor)

    def soft_losses(self, q, logits):
        """Raises InputError: soft labels are not supported."""
        raise InputError(f'loss.name: found seesaw with labels of shape {tuple(q.shape)}; '
                         'expected class ids: no MixUp, CutMix or one-hot labels.')

    def vectors(self):
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        return {**super().get_config(), 'p': self.p, 'q': self.q}
