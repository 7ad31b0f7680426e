"""Balanced symmetric cross-entropy, as a function and as a Keras loss; needs only Keras.

Huang, Li and Zhu 2020, "Balanced Symmetric Cross Entropy for Large Scale Imbalanced and Noisy
Data", section 3. The symmetric part is Wang et al. 2019, "Symmetric Cross Entropy for Robust
Learning with Noisy Labels", equations 5 to 8. Two options help with many classes: a logit bias in
the reverse term (Staats, Thamm and Rosenow 2025, "Enhancing Noise-Robust Losses for Large-Scale
Noisy Data Learning"), and a prior instead of class weights (`balance.log_prior`).
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from bsce_tf.losses import balance, cross_entropy, labels
from bsce_tf.losses.base import ClassLoss, check, check_fields, checked_weights, take


class _Terms(NamedTuple):
    """The arguments of `bsce` that are the same for every batch."""

    alpha: float
    beta: float
    class_weights: object  # tensor `[K]` or None
    log_zero: float
    log_prior: object  # array `[K]` or None
    logit_bias: float
    adjusted: bool  # whether the reverse term includes the prior
    reverse_weights: object  # tensor `[K]` or None


def bsce(y_true, y_pred, alpha=0.4, beta=0.7, class_weights=None, log_zero=-4.0,
         from_logits=True, label_smoothing=0.0, log_prior=None, logit_bias=0.0, reverse_on='raw',
         reverse_weights=None):
    """α·BCE + β·RCE of each example.

    With labels q, predictions p and class weights w: BCE = −Σ w q log p, RCE = −Σ p log q, where
    log q is clipped from below at A = `log_zero`. For a hard label y the loss is
    α·w(y)·ce − β·A·(1 − p(y)) with ce = −log p(y), so it needs no one-hot labels.

    Three options for many classes, off by default:

    * A prior π: BCE uses p ∝ exp(z + log π).
    * Weights v of RCE. Without them large classes, which have most images, dominate RCE, and it
      undoes what the balance of BCE does for small classes.
    * A bias ε: in RCE alone, ε is added to the logit of the true class (ε·q(k) / max q for a soft
      label). With m = 1 − p(y), RCE then has m / (m + e^(ε−ce)) in place of m. Without a bias the
      gradient of RCE, ∝ p(1 − p), almost vanishes at the start, where p = 1/K.

    Args:
      y_true: hard labels, integers 0 … K−1 of shape `[...]` or `[..., 1]`, or one-hot or soft
        labels `[..., K]` with rows that sum to 1. A label out of range gives NaN; on a CPU,
        TensorFlow and PyTorch raise an error.
      y_pred: `[..., K]` logits or probabilities, K ≥ 2.
      alpha: α ≥ 0.
      beta: β ≥ 0.
      class_weights: w, `[K]`, or None for w = 1.
      log_zero: A < 0. The SCE paper uses −4, the default here; its authors' code clips labels at
        1e-4, so A = −9.21.
      from_logits: whether `y_pred` holds logits. Before the logarithm, probabilities are clipped
        to [e, 1−e] with e = `keras.config.epsilon()`, as Keras does.
      label_smoothing: s in [0, 1): q becomes (1−s)·q + s/K.
      log_prior: array `[K]` to add to the logits in BCE, see `balance.log_prior`; or None.
      logit_bias: ε, −20 to 20; or 'auto' for ln((K−1)/9), which raises p = 1/K to 1/10.
      reverse_on: 'raw': RCE uses p ∝ exp(z); 'adjusted': RCE, too, uses p ∝ exp(z + log π).
      reverse_weights: v, `[K]`, by which RCE is multiplied: v(y), or Σ q(k)·v(k) for a soft label;
        None for v = 1.

    Returns:
      `[...]` losses in the dtype of `y_pred`.

    Raises:
      ValueError: if shapes do not fit together.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    classes = labels.classes_of(y_pred)
    class_weights = _weights('class_weights', class_weights, y_pred)
    reverse_weights = _weights('reverse_weights', reverse_weights, y_pred)
    bias = _bias(logit_bias, classes)
    terms = _Terms(alpha, beta, class_weights, log_zero, log_prior, bias, reverse_on == 'adjusted',
                   reverse_weights)
    if not from_logits and (bias or log_prior is not None):
        y_pred, from_logits = labels.logits_of(y_pred, False), True

    def of_soft(q):
        return _soft(labels.smoothed(q, label_smoothing), y_pred, terms, from_logits)

    def of_ids(ids):
        if label_smoothing:
            return of_soft(ops.one_hot(ids, classes, dtype=y_pred.dtype))
        return _from_ce(ids, _cross_entropies(ids, y_pred, terms, from_logits), terms, classes)

    return labels.by_kind(y_true, y_pred, of_ids, of_soft)


def _bias(value, classes):
    return balance.start_bias(classes) if value == 'auto' else value


def _weights(name, weights, y_pred):
    if weights is None:
        return None
    weights, classes = ops.convert_to_tensor(weights, dtype=y_pred.dtype), y_pred.shape[-1]
    if tuple(weights.shape) != (classes,):
        raise ValueError(f'{name}: found shape {tuple(weights.shape)}; expected ({classes},), one '
                         'weight for each class of y_pred.')
    return weights


def _from_ce(ids, ces, terms, classes, smoothing=0.0, uniform=None):
    """Losses from −log p of the labelled class, for BCE (`ces[0]`) and for RCE (`ces[-1]`).

    With label smoothing, q(y) = 1 − s + s/K, and q = s/K for the other classes. So RCE depends on
    p(y) alone: −log q(y) + (1 − p(y))·(log q(y) − log q). For `uniform` see
    `base.ClassLoss.from_ce`.
    """
    rest, true = smoothing / classes, 1.0 - smoothing + smoothing / classes
    weight = terms.alpha * (1.0 - smoothing)
    if terms.class_weights is not None:
        weight = weight * take(terms.class_weights, ids, ces[0])
    balanced = weight * ces[0]
    if smoothing:
        balanced = balanced + terms.alpha * smoothing * uniform
    if not terms.beta:
        return balanced
    missed = -ops.expm1(-ces[-1])  # 1 − p(y), exact where p(y) is near 1
    bias = terms.logit_bias * (1.0 - rest / true)
    if bias:
        missed = missed / (missed + ops.exp(bias - ces[-1]))
    log_true = math.log(true)
    log_rest = math.log(rest) if rest > math.exp(terms.log_zero) else terms.log_zero
    reverse = (terms.beta * (log_true - log_rest)) * missed
    if smoothing:
        reverse = reverse - terms.beta * log_true
    if terms.reverse_weights is not None:
        weights = take(terms.reverse_weights, ids, reverse)
        if smoothing:
            weights = (1.0 - smoothing) * weights + rest * float(np.sum(terms.reverse_weights))
        reverse = reverse * weights
    return balanced + reverse


def _cross_entropies(ids, y_pred, terms, from_logits):
    """−log p of the labelled class: (for BCE, for RCE)."""
    if not from_logits:
        ce = ops.sparse_categorical_crossentropy(ids, y_pred, from_logits=False)
    elif terms.log_prior is None:
        ce = cross_entropy.sparse(ids, y_pred)
    elif terms.beta and not terms.adjusted:
        return cross_entropy.sparse_with_prior(ids, y_pred, terms.log_prior)[::-1]
    else:
        ce = cross_entropy.sparse(ids, _with_prior(y_pred, terms))
    return ce, ce


def _soft(q, y_pred, terms, from_logits):
    if from_logits:
        log_p = ops.log_softmax(_with_prior(y_pred, terms))
        p = ops.exp(log_p)
    else:
        p = y_pred / ops.sum(y_pred, axis=-1, keepdims=True)
        log_p = labels.logits_of(y_pred, False)
    weighted = q if terms.class_weights is None else terms.class_weights * q
    balanced = -terms.alpha * ops.sum(weighted * log_p, axis=-1)
    if not terms.beta:
        return balanced
    if terms.logit_bias or (terms.log_prior is not None and not terms.adjusted):
        logits = _with_prior(y_pred, terms) if terms.adjusted else y_pred
        p = ops.softmax(logits + terms.logit_bias * q / ops.max(q, axis=-1, keepdims=True))
    log_q = ops.log(ops.maximum(q, math.exp(terms.log_zero)))
    reverse = ops.sum(p * log_q, axis=-1)
    if terms.reverse_weights is not None:
        reverse = reverse * ops.sum(q * terms.reverse_weights, axis=-1)
    return balanced - terms.beta * reverse


def _with_prior(logits, terms):
    if terms.log_prior is None:
        return logits
    return logits + ops.convert_to_tensor(terms.log_prior, dtype=logits.dtype)


@keras.saving.register_keras_serializable('bsce_tf')
class BalancedSymmetricCrossEntropy(ClassLoss):
    """α·BCE + β·RCE as a Keras loss; see `bsce` for the formula and the shapes.

    With alpha=1 and beta=0 it is CE, with class weights BCE. With β > 0 and no class weights it is
    SCE. For many classes, give `prior`, not class weights, with alpha=1, logit_bias='auto' and
    reverse_on='weighted'.

    Args:
      alpha: α ≥ 0, weight of the (balanced) cross-entropy. Paper: 0.4.
      beta: β ≥ 0, weight of the reverse cross-entropy. Paper: 0.7. SCE's authors use (α, β) =
        (0.01, 1) on MNIST, (0.1, 1) on CIFAR-10 and (6, 0.1) on CIFAR-100.
      class_weights: `[K]` numbers ≥ 0, such as `class_weights.balanced` gives, or None.
      log_zero: A < 0, the value used for log 0.
      from_logits: whether the model gives logits.
      label_smoothing: in [0, 1).
      reduction: any of Keras's.
      name: of the loss.
      dtype: of the computation; default `keras.config.floatx()`, so float32 in mixed precision.
      prior: `[K]` numbers above 0, such as class sizes, or None. The (balanced) cross-entropy then
        uses logits + τ·log π, with π = prior / Σ prior. The trained model gives logits as if all
        classes were equally frequent; do not add the prior when you use it.
      tau: τ, 0 to 10.
      logit_bias: ε of the reverse term, −20 to 20, or 'auto' for ln((K−1)/9).
      reverse_on: what the reverse term uses. 'raw', as in the paper: softmax(z), all images with
        the same weight. 'adjusted': softmax(z + τ·log π). 'weighted': softmax(z), times
        1 / (K·π(y)), the paper's w(y) if the prior is the class sizes; without a prior, times
        `class_weights`.
      reverse_weights: `[K]` numbers ≥ 0 for 'weighted' to take instead, such as the paper's w where
        some classes have no image and the prior has a stand-in for them; or None.

    Raises:
      InputError: (a ValueError) if a number is out of its range.

    Examples:
      >>> loss = BalancedSymmetricCrossEntropy(class_weights=[0.5, 2.0])
      >>> loss([1], [[0.0, 0.0]])  # 0.4·2·log 2 + 0.7·4·0.5
      1.9545178
      >>> many = BalancedSymmetricCrossEntropy(prior=[3, 1], logit_bias=1.0986123,  # ln 3
      ...                                      reverse_on='weighted')
      >>> many([1], [[0.0, 0.0]])  # 0.4·log 4 + 2·0.7·4·0.5 / (0.5 + 3·0.5)
      1.9545178
    """

    def __init__(self, alpha=0.4, beta=0.7, class_weights=None, log_zero=-4.0, from_logits=True,
                 label_smoothing=0.0, reduction='sum_over_batch_size',
                 name='balanced_symmetric_cross_entropy', dtype=None, prior=None, tau=1.0,
                 logit_bias=0.0, reverse_on='raw', reverse_weights=None):
        super().__init__(class_weights, prior, tau, from_logits, label_smoothing, reduction, name,
                         dtype)
        check_fields(alpha=alpha, beta=beta, log_zero=log_zero, logit_bias=logit_bias,
                     reverse_on=reverse_on)
        check('alpha', alpha, alpha != 'by_name', 'a number')
        check('logit_bias', logit_bias, logit_bias != 'by_name', 'a number, or auto')
        self._given = (None if reverse_weights is None
                      else checked_weights('reverse_weights', reverse_weights))
        sources = self._given, prior, self.class_weights
        check('reverse_on', reverse_on,
              reverse_on != 'weighted' or any(source is not None for source in sources),
              'class weights or a prior with it (loss.balance), or raw')
        self.alpha, self.beta, self.log_zero = float(alpha), float(beta), float(log_zero)
        self.logit_bias = logit_bias if logit_bias == 'auto' else float(logit_bias)
        self.reverse_on, self.reverse_weights = reverse_on, None
        if reverse_on == 'weighted':
            self.reverse_weights = (
                self._given if self._given is not None else self.class_weights if prior is None
                else 1 / (len(self.prior) * self.prior))

    def call(self, y_true, y_pred):
        """Losses `[...]`; see `bsce` for the arguments."""
        y_pred = ops.convert_to_tensor(y_pred)
        labels.warn_of_probabilities(y_pred, self.from_logits)
        self.check_width(labels.classes_of(y_pred))
        return bsce(y_true, y_pred, self.alpha, self.beta, self.class_weights, self.log_zero,
                    self.from_logits, self.label_smoothing, self.log_prior, self.logit_bias,
                    self.reverse_on, self.reverse_weights)

    def vectors(self):
        return {**super().vectors(), 'reverse_weights': self._given}

    def logit_offsets(self):
        """See `base.ClassLoss`: that of BCE, then that of RCE if it differs."""
        return [self.log_prior, *([None] if self._reverse_is_raw() else [])]

    def _reverse_is_raw(self):
        return bool(self.beta and self.log_prior is not None and self.reverse_on != 'adjusted')

    def from_ce(self, ids, ces, classes, uniform=None):
        terms = _Terms(self.alpha, self.beta, self.class_weights, self.log_zero, self.log_prior,
                       _bias(self.logit_bias, classes), self.reverse_on == 'adjusted',
                       self.reverse_weights)
        return _from_ce(ids, ces, terms, classes, self.label_smoothing, uniform)

    def get_config(self):
        return {**super().get_config(), 'alpha': self.alpha, 'beta': self.beta,
                'log_zero': self.log_zero, 'logit_bias': self.logit_bias,
                'reverse_on': self.reverse_on}
