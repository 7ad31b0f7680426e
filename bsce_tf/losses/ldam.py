"""Label-distribution-aware margin loss: rare classes get a larger margin.

Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
section 3. For the paper's deferred re-weighting (LDAM-DRW), set `loss.balance` to 'effective' in
a later stage.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf.losses import balance, cross_entropy
from bsce_tf.losses.base import ClassLoss, check, check_fields, take

_LARGEST = 60.0  # largest s·Δ: e^60 is well within float32's range


@keras.saving.register_keras_serializable('bsce_tf')
class LDAMLoss(ClassLoss):
    """Cross-entropy after s·Δ(y) is subtracted from the labelled class's logit, Δ(k) ∝ n(k)^(−1/4).

    The paper's logits are cosines times s. The loss does not scale logits itself. Use it with a
    cosine head of fixed scale:
    `model.head='cosine', model.head_scale=30, model.head_learn_scale=False`.

    Args:
      counts: n, `[K]` training images of each class, above 0.
      margin: Δ of the smallest class, 0 or more. Authors: 0.5.
      scale: s, above 0, the scale of the head. Authors: 30. s·Δ may be at most 60.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as class_weights.

    Example:
      >>> LDAMLoss(counts=[16, 1], margin=0.5, scale=2)([1], [[0.0, 1.0]])  # 1 − 2·0.5 = 0: log 2
      0.6931472
    """

    def __init__(self, counts, margin=0.5, scale=30.0, name='ldam', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(ldam_margin=margin, ldam_scale=scale)
        check('ldam_scale', scale, margin * scale <= _LARGEST,
              f'ldam_scale·ldam_margin to be {_LARGEST:g} or less')
        self.counts = np.asarray(counts, np.float64)
        self.margin, self.scale = float(margin), float(scale)
        margins = balance.shares(counts, 'counts') ** -0.25
        self.lowered = (scale * margin * margins / margins.max()).astype(np.float32)  # s·Δ

    def hard_losses(self, ids, logits):
        rows = ops.reshape(logits, (-1, logits.shape[-1]))
        flat = ops.reshape(ids, (-1,))
        true = ops.take_along_axis(rows, flat[:, None], axis=-1)[:, 0]
        true = true - take(self.lowered, flat, logits)
        at = ops.stack([ops.arange(ops.shape(flat)[0], dtype='int32'), flat], axis=-1)
        losses = cross_entropy.sparse(flat, ops.scatter_update(rows, at, true))
        return ops.reshape(losses, ops.shape(ids))

    def soft_losses(self, q, logits):
        log_p = ops.log_softmax(logits)
        p = ops.exp(log_p)
        # 1 − p loses precision where p is near 1: there, sum the probabilities of the others.
        largest = p > 0.5
        others = ops.sum(ops.where(largest, 0.0, p), axis=-1, keepdims=True)
        missed = ops.where(largest, others, 1.0 - p)
        factor = ops.convert_to_tensor(np.exp(self.lowered), dtype=logits.dtype)
        # log p̂ = log p − log(p + (1 − p)·e^(s·Δ)).
        return ops.sum(q * (ops.log(p + missed * factor) - log_p), axis=-1)

    def vectors(self):
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        return {**super().get_config(), 'margin': self.margin, 'scale': self.scale}
