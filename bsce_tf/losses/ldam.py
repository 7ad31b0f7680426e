"""Label-distribution-aware margin loss: rare classes must win by more.

Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
section 3. Its deferred re-weighting (LDAM-DRW) is a stage of a run that changes
`loss.balance` to 'effective'.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf.losses import balance, cross_entropy
from bsce_tf.losses.base import ClassLoss, check, check_fields, take

_LARGEST = 60.0  # of s·Δ: e to this is far from float32's end


@keras.saving.register_keras_serializable('bsce_tf')
class LDAMLoss(ClassLoss):
    """Cross-entropy of the logits, the given class's lowered by s·Δ(y), Δ(k) ∝ n(k)^(−1/4).

    The paper's logits are s times cosines: a model with a cosine head of fixed scale 30 gives them
    (`model.head='cosine', model.head_scale=30, model.head_learn_scale=False`). The loss does not
    scale logits itself, so what the model gives is what it is used with.

    Args:
      counts: n, `[K]` training images of each class, above 0.
      margin: Δ of the smallest class, 0 or more. Authors: 0.5.
      scale: s, above 0: the head's. Authors: 30. s·Δ may be up to 60.
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

    def of_ids(self, ids, logits):
        """See `base.ClassLoss`."""
        rows = ops.reshape(logits, (-1, logits.shape[-1]))
        flat = ops.reshape(ids, (-1,))
        true = ops.take_along_axis(rows, flat[:, None], axis=-1)[:, 0]
        true -= take(self.lowered, flat, logits)
        at = ops.stack([ops.arange(ops.shape(flat)[0], dtype='int32'), flat], axis=-1)
        losses = cross_entropy.of_ids(flat, ops.scatter_update(rows, at, true))
        return ops.reshape(losses, ops.shape(ids))

    def of_shares(self, shares, logits):
        """See `base.ClassLoss`: what each class would be charged, weighted by its share."""
        log_p = ops.log_softmax(logits)
        p = ops.exp(log_p)
        # 1 − p is inexact for one class at most, that of the largest p: for it the others' sum.
        largest = p > 0.5
        others = ops.sum(ops.where(largest, 0.0, p), axis=-1, keepdims=True)
        missed = ops.where(largest, others, 1.0 - p)
        factor = ops.convert_to_tensor(np.exp(self.lowered), dtype=logits.dtype)
        # log p̂ = log p − log(p + (1 − p)·e^(s·Δ)).
        return ops.sum(shares * (ops.log(p + missed * factor) - log_p), axis=-1)

    def vectors(self):
        """See `base.ClassLoss`."""
        return {**super().vectors(), 'counts': self.counts}

    def get_config(self):
        """See Keras."""
        return {**super().get_config(), 'margin': self.margin, 'scale': self.scale}
