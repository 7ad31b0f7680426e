"""Generalised cross-entropy, between cross-entropy and mean absolute error.

Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
Labels", equation 6 (without truncation).
"""

import keras
from keras import ops

from bsce_tf.losses.base import ClassLoss, check_fields


@keras.saving.register_keras_serializable('bsce_tf')
class GeneralisedCrossEntropy(ClassLoss):
    """(1 − p(y)^q) / q of each example.

    Args:
      q: above 0 (near 0: cross-entropy) to 1 (half the mean absolute error). Paper: 0.7.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as class_weights.

    Example:
      >>> GeneralisedCrossEntropy(q=0.5)([0], [[0.0, 0.0]])  # (1 − √0.5) / 0.5
      0.58578646
    """

    def __init__(self, q=0.7, name='gce', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(gce_q=q)
        self.q = float(q)

    def from_log_p(self, log_p):
        return -ops.expm1(self.q * log_p) / self.q

    def get_config(self):
        return {**super().get_config(), 'q': self.q}
