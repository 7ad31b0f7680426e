"""Balanced symmetric cross-entropy, as a function and as a Keras loss; needs only Keras.

Huang, Li and Zhu 2020, "Balanced Symmetric Cross Entropy for Large Scale Imbalanced and Noisy
Data", section 3; the symmetric part is Wang et al. 2019, "Symmetric Cross Entropy for Robust
Learning with Noisy Labels", equations 5 to 8.
"""

import math

import keras
import numpy as np
from keras import ops

from bsce_tf.errors import InputError

# Which of the class weights and the reverse term each named setting uses.
_SETTINGS = {'ce': (False, False), 'bce': (True, False), 'sce': (False, True), 'bsce': (True, True)}
NAMES = tuple(_SETTINGS)


def bsce(y_true, y_pred, alpha=0.4, beta=0.7, class_weights=None, log_zero=-4.0,
         from_logits=True, label_smoothing=0.0):
    """α·BCE + β·RCE of each example.

    With labels q, predictions p and class weights w: BCE = −Σ w q log p, RCE = −Σ p log q, where
    log q is not below A = `log_zero`. For a hard label y this is α·w(y)·ce − β·A·(1 − p(y)) with
    ce = −log p(y), which needs neither one-hot labels nor a second softmax.

    Args:
      y_true: hard labels, integers 0 … K−1 of shape `[...]` or `[..., 1]`, or one-hot or soft
        labels `[..., K]`, each row summing to 1. A label out of range is not found out here on
        every backend and device.
      y_pred: `[..., K]` logits or probabilities, K ≥ 2.
      alpha: α ≥ 0.
      beta: β ≥ 0.
      class_weights: w, `[K]`, or None for w = 1.
      log_zero: A < 0. The authors of SCE clip labels at 1e-4, which is A = −9.21; their paper
        also uses −4, the default here.
      from_logits: whether `y_pred` holds logits. Probabilities are clipped to [ε, 1−ε] with
        ε = `keras.config.epsilon()` inside the logarithm, as Keras does.
      label_smoothing: s in [0, 1): q becomes (1−s)·q + s/K.

    Returns:
      `[...]` losses in the dtype of `y_pred`.

    Raises:
      ValueError: if shapes do not fit together.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    classes = y_pred.shape[-1]
    if classes is None or classes < 2:
        raise ValueError(f'y_pred: found shape {tuple(y_pred.shape)}; expected [..., K] with K of '
                         'at least 2.')
    if class_weights is not None:
        class_weights = ops.convert_to_tensor(class_weights, dtype=y_pred.dtype)
        if tuple(class_weights.shape) != (classes,):
            raise ValueError(f'class_weights: found shape {tuple(class_weights.shape)}; expected '
                             f'({classes},), one weight for each class of y_pred.')
    hard = len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1
    if hard:
        y_true = _hard_labels(y_true, y_pred)
        if not label_smoothing:
            return _hard(y_true, y_pred, alpha, beta, class_weights, log_zero, from_logits)
        y_true = ops.one_hot(y_true, classes, dtype=y_pred.dtype)
    elif y_true.shape[-1] not in (classes, None):
        raise ValueError(f'y_true: found shape {tuple(y_true.shape)}; expected class ids or '
                         f'[..., {classes}] to go with y_pred {tuple(y_pred.shape)}.')
    y_true = ops.cast(y_true, y_pred.dtype)
    smooth = (1.0 - label_smoothing) * y_true + label_smoothing / classes
    return _soft(smooth, y_pred, alpha, beta, class_weights, log_zero, from_logits)


def _hard_labels(y_true, y_pred):
    """Class ids as int32 with the rank of `y_pred` less one."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, -1)
    if len(y_true.shape) != len(y_pred.shape) - 1:
        raise ValueError(f'y_true: found shape {tuple(y_true.shape)}; expected class ids for '
                         f'y_pred {tuple(y_pred.shape)}.')
    return ops.cast(y_true, 'int32')  # Keras casts labels to the loss's dtype


def _hard(y_true, y_pred, alpha, beta, class_weights, log_zero, from_logits):
    if from_logits and keras.backend.backend() == 'tensorflow':
        ce = _cross_entropy(y_true, y_pred)
    else:
        ce = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits)
    if class_weights is None:
        balanced = alpha * ce
    else:
        balanced = alpha * ops.take(class_weights, y_true, axis=0) * ce
    if not beta:
        return balanced
    missed = -ops.expm1(-ce)  # 1 − p(y), exact where p(y) is near 1
    return balanced + (-beta * log_zero) * missed


def _cross_entropy(labels, logits):
    """−log softmax(logits)[label], `[...]`, taking one exponential of each logit.

    TensorFlow's own takes two, one for the sum and one for the gradient, and they are most of its
    time on a CPU. Compilers fuse what JAX and PyTorch do, so there it would gain nothing.
    """
    import tensorflow as tf  # which Keras has loaded

    shape, classes = tf.shape(labels), logits.shape[-1]
    labels = tf.reshape(labels, [-1])
    at = tf.stack([tf.range(tf.size(labels)), labels], axis=-1)

    @tf.custom_gradient
    def of_rows(logits):
        largest = tf.reduce_max(logits, axis=-1, keepdims=True)
        powers = tf.exp(logits - largest)
        total = tf.reduce_sum(powers, axis=-1)

        def gradient(upstream):
            spread = powers * (upstream / total)[:, None]
            return tf.tensor_scatter_nd_sub(spread, at, upstream)

        return tf.math.log(total) - (tf.gather_nd(logits, at) - largest[:, 0]), gradient

    return tf.reshape(of_rows(tf.reshape(logits, [-1, classes])), shape)


def _soft(q, y_pred, alpha, beta, class_weights, log_zero, from_logits):
    if from_logits:
        log_p = ops.log_softmax(y_pred)
        p = ops.exp(log_p)
    else:
        epsilon = keras.config.epsilon()
        p = y_pred / ops.sum(y_pred, axis=-1, keepdims=True)
        log_p = ops.log(ops.clip(p, epsilon, 1.0 - epsilon))
    weighted = q if class_weights is None else class_weights * q
    balanced = -alpha * ops.sum(weighted * log_p, axis=-1)
    if not beta:
        return balanced
    log_q = ops.log(ops.maximum(q, math.exp(log_zero)))
    return balanced - beta * ops.sum(p * log_q, axis=-1)


@keras.saving.register_keras_serializable('bsce_tf')
class BalancedSymmetricCrossEntropy(keras.losses.Loss):
    """α·BCE + β·RCE as a Keras loss; see `bsce` for the formula and the shapes.

    CE is alpha=1, beta=0; BCE adds class weights; SCE has a β and no class weights.

    Args:
      alpha: α ≥ 0, weight of the (balanced) cross-entropy. Paper: 0.4.
      beta: β ≥ 0, weight of the reverse cross-entropy. Paper: 0.7. SCE's authors use (α, β) =
        (0.01, 1) on MNIST, (0.1, 1) on CIFAR-10 and (6, 0.1) on CIFAR-100.
      class_weights: `[K]` numbers ≥ 0, as from `class_weights.balanced`, or None.
      log_zero: A < 0, what log 0 is taken to be.
      from_logits: whether the model gives logits.
      label_smoothing: in [0, 1).
      reduction: any of Keras's.
      name: of the loss.
      dtype: of the computation; default `keras.config.floatx()`, so float32 in mixed precision.

    Raises:
      InputError: (a ValueError) if a number is out of its range.

    Example:
      >>> loss = BalancedSymmetricCrossEntropy(class_weights=[0.5, 2.0])
      >>> loss([1], [[0.0, 0.0]])  # 0.4·2·log 2 + 0.7·4·0.5
      1.9545178
    """

    def __init__(self, alpha=0.4, beta=0.7, class_weights=None, log_zero=-4.0, from_logits=True,
                 label_smoothing=0.0, reduction='sum_over_batch_size',
                 name='balanced_symmetric_cross_entropy', dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        _check(alpha, beta, log_zero, label_smoothing)
        self.alpha, self.beta, self.log_zero = float(alpha), float(beta), float(log_zero)
        self.from_logits, self.label_smoothing = from_logits, float(label_smoothing)
        self.class_weights = None if class_weights is None else _checked_weights(class_weights)

    def call(self, y_true, y_pred):
        return bsce(y_true, y_pred, self.alpha, self.beta, self.class_weights, self.log_zero,
                    self.from_logits, self.label_smoothing)

    def get_config(self):
        weights = self.class_weights
        return {
            **super().get_config(),
            'alpha': self.alpha, 'beta': self.beta, 'log_zero': self.log_zero,
            'class_weights': None if weights is None else weights.tolist(),
            'from_logits': self.from_logits, 'label_smoothing': self.label_smoothing,
        }


def uses_class_weights(name):
    """Whether the named loss needs class weights. Raises InputError for an unknown name."""
    return _setting(name)[0]


def by_name(name, class_weights, alpha=0.4, beta=0.7, **settings):
    """The loss that a config names.

    Args:
      name: 'ce' (α = 1, β = 0, w = 1), 'bce' (α = 1, β = 0), 'sce' (w = 1) or 'bsce'.
      class_weights: `[K]`, used by bce and bsce.
      alpha: α of sce and bsce.
      beta: β of sce and bsce.
      **settings: further arguments of `BalancedSymmetricCrossEntropy`.

    Raises:
      InputError: if the name is unknown or a number out of its range.
    """
    weighted, symmetric = _setting(name)
    _check(alpha, beta, settings.get('log_zero', -4.0), settings.get('label_smoothing', 0.0))
    return BalancedSymmetricCrossEntropy(
        alpha=alpha if symmetric else 1.0, beta=beta if symmetric else 0.0,
        class_weights=class_weights if weighted else None, name=name, **settings)


def _setting(name):
    if name not in _SETTINGS:
        raise InputError(f"loss.name: found '{name}'; expected one of {', '.join(NAMES)}.")
    return _SETTINGS[name]


def _check(alpha, beta, log_zero, label_smoothing):
    for key, value, good, wanted in (
            ('alpha', alpha, 0 <= alpha < math.inf, 'a number ≥ 0'),
            ('beta', beta, 0 <= beta < math.inf, 'a number ≥ 0'),
            ('log_zero', log_zero, -math.inf < log_zero < 0, 'a finite number below 0'),
            ('label_smoothing', label_smoothing, 0 <= label_smoothing < 1, '0 to below 1')):
        if not good:
            raise InputError(f'loss.{key}: found {value}; expected {wanted}.')


def _checked_weights(class_weights):
    weights = np.asarray(class_weights, np.float32)
    if weights.ndim != 1:
        raise InputError(f'class_weights: found shape {weights.shape}; expected one weight a '
                         'class.')
    bad = np.flatnonzero(~(weights >= 0) | ~np.isfinite(weights))
    if bad.size:
        raise InputError(f'class_weights: found {weights[bad[0]]} for class {bad[0]}; expected '
                         'numbers ≥ 0.')
    return weights
