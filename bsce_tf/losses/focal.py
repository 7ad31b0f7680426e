"""Focal loss: images that are already classified well count less.

Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, with softmax probabilities.
With `class_weights.effective` it is the class-balanced focal loss of Cui et al. 2019,
"Class-Balanced Loss Based on Effective Number of Samples" (who use sigmoids).
"""

import keras
from keras import ops

from bsce_tf.losses.base import ClassLoss, check_fields

_TINY = 1e-30  # a power of 1 − p = 0 may have an infinite gradient


@keras.saving.register_keras_serializable('bsce_tf')
class FocalLoss(ClassLoss):
    """−(1 − p(y))^γ·log p(y) of each example.

    Args:
      gamma: γ, 0 (cross-entropy) to 100. Lin et al.: 2; Cui et al.: 0.5, 1 or 2.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as class_weights.

    Example:
      >>> FocalLoss(gamma=2)([0], [[0.0, 0.0]])  # 0.5²·log 2
      0.1732868
    """

    def __init__(self, gamma=2.0, name='focal', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(focal_gamma=gamma)
        self.gamma = float(gamma)

    def from_log_p(self, log_p):
        missed = ops.maximum(-ops.expm1(log_p), _TINY)
        return -ops.power(missed, self.gamma) * log_p

    def get_config(self):
        return {**super().get_config(), 'gamma': self.gamma}
