"""Seesaw loss: images of frequent classes push rare classes' logits down less.

Wang et al. 2021, "Seesaw Loss for Long-Tailed Instance Segmentation", section 3. They count images
as training goes on; here the counts are given.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf.errors import InputError
from bsce_tf.losses import balance, cross_entropy
from bsce_tf.losses.base import ClassLoss, check, check_fields, take


@keras.saving.register_keras_serializable('bsce_tf')
class SeesawLoss(ClassLoss):
    """−log(exp z(y) / Σ S(y, k)·exp z(k)) of each example, S = M·C, which gets no gradient.

    M(y, k) = min(1, n(k) / n(y))^p mitigates, C(y, k) = max(1, p(k) / p(y))^q compensates; both are
    1 for k = y. Takes hard labels alone: a mixture of labels would need S of every pair of classes.

    Args:
      counts: n, `[K]` images of each class, above 0.
      p: of the mitigation, 0 or more. Paper: 0.8.
      q: of the compensation, 0 or more. Paper: 2.
      name: of the loss.
      **arguments: of `base.ClassLoss`; `label_smoothing` has to be 0.

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

    def of_ids(self, ids, logits):
        """See `base.ClassLoss`."""
        log_counts = ops.convert_to_tensor(self.log_counts, dtype=logits.dtype)
        own = take(self.log_counts, ids, logits)[..., None]
        fixed = ops.stop_gradient(logits)
        true = ops.take_along_axis(fixed, ids[..., None], axis=-1)
        factor = (self.p * ops.minimum(log_counts - own, 0.0)  # log S; at k = y it is 0
                  + self.q * ops.maximum(fixed - true, 0.0))
        return cross_entropy.of_ids(ids, logits + factor)

    def of_shares(self, shares, logits):
        """Raises InputError."""
        raise InputError(f'loss.name: found seesaw with labels of shape {tuple(shares.shape)}; '
                         'expected class ids: no MixUp, CutMix or one-hot labels.')

    def vectors(self):
        """See `base.ClassLoss`."""
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        """See Keras."""
        return {**super().get_config(), 'p': self.p, 'q': self.q}
