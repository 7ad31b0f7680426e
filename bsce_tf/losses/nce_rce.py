"""Normalised cross-entropy with reverse cross-entropy, an active-passive loss.

Ma et al. 2020, "Normalized Loss Functions for Deep Learning with Noisy Labels", section 3.
"""

import keras
from keras import ops

from bsce_tf.losses import cross_entropy
from bsce_tf.losses.base import ClassLoss, check_fields


@keras.saving.register_keras_serializable('bsce_tf')
class NormalisedReverseCrossEntropy(ClassLoss):
    """α·NCE + β·RCE of each example: NCE = log p(y) / Σ log p(k), RCE = −A·(1 − p(y)).

    Args:
      alpha: α ≥ 0. Paper: 1 on MNIST and CIFAR-10, 10 on CIFAR-100.
      beta: β ≥ 0. Paper: 1 on CIFAR-10, 0.1 on CIFAR-100.
      log_zero: A < 0, the value used for log 0; the authors' code clips at 1e-4, so A = −9.21.
      name: of the loss.
      **arguments: of `base.ClassLoss`, such as class_weights.

    Example:
      >>> NormalisedReverseCrossEntropy()([0], [[0.0, 0.0]])  # 1/2 + 4·0.5
      2.5
    """

    def __init__(self, alpha=1.0, beta=1.0, log_zero=-4.0, name='nce_rce', **arguments):
        super().__init__(name=name, **arguments)
        check_fields(nce_alpha=alpha, rce_beta=beta, log_zero=log_zero)
        self.alpha, self.beta, self.log_zero = float(alpha), float(beta), float(log_zero)

    def hard_losses(self, ids, logits):
        ce = cross_entropy.sparse(ids, logits)
        true = ops.take_along_axis(logits, ids[..., None], axis=-1)[..., 0]
        # Σ log p(k) = Σ z(k) − K·log Σ exp z(k), and ce = log Σ exp z(k) − z(y).
        total = ops.sum(logits - (ce + true)[..., None], axis=-1)
        return self.alpha * -ce / total + self._reverse(-ce)

    def soft_losses(self, q, logits):
        log_p = ops.log_softmax(logits)
        normalised = log_p / ops.sum(log_p, axis=-1, keepdims=True)
        return ops.sum(q * (self.alpha * normalised + self._reverse(log_p)), axis=-1)

    def _reverse(self, log_p):
        return self.beta * self.log_zero * ops.expm1(log_p)

    def get_config(self):
        return {**super().get_config(), 'alpha': self.alpha, 'beta': self.beta,
                'log_zero': self.log_zero}
