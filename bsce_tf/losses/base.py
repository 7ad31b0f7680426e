"""Base class of all losses here."""

import keras
import numpy as np
from keras import ops

from bsce_tf import fields
from bsce_tf.errors import InputError
from bsce_tf.losses import balance, cross_entropy, labels


class ClassLoss(keras.losses.Loss):
    """A loss for K classes, one label per image, with optional class weights or class prior.

    A subclass overrides `from_log_p`, the loss of a class as a function of log p. The loss of a
    soft label q is Σ q(k)·loss(k), as in MixUp (Zhang et al. 2018, section 2).

    Args:
      class_weights: `[K]` numbers ≥ 0, by which the loss of each class is multiplied, for example
        from `class_weights.balanced` or `class_weights.effective`; or None.
      prior: `[K]` numbers above 0, such as class sizes, or None. The loss then sees
        logits + τ·log π with π = prior / Σ prior; see `balance.log_prior`.
      tau: τ, 0 to 10.
      from_logits: whether the model gives logits, not probabilities.
      label_smoothing: s in [0, 1): q becomes (1−s)·q + s/K.
      reduction: any of Keras's.
      name: of the loss.
      dtype: of the computation, float32 or float64; default `keras.config.floatx()`, so float32 in
        mixed precision.

    Raises:
      InputError: (a ValueError) if a number is out of its range, or the dtype is narrower: Keras
        casts labels to it, and not all class ids above 2,048 (256) are numbers of float16
        (bfloat16).
    """

    def __init__(self, class_weights=None, prior=None, tau=1.0, from_logits=True,
                 label_smoothing=0.0, reduction='sum_over_batch_size', name=None, dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if self.dtype not in ('float32', 'float64'):
            raise InputError(f'{self.name}: found dtype {self.dtype}; expected float32 or float64, '
                             'as others round class ids. Predictions may have any dtype.')
        check_fields(label_smoothing=label_smoothing)
        self.from_logits, self.label_smoothing = from_logits, float(label_smoothing)
        self.class_weights = (None if class_weights is None
                              else checked_weights('class_weights', class_weights))
        self.tau = float(tau)
        self.prior = None if prior is None else balance.shares(prior)
        self.log_prior = None if prior is None else balance.log_prior(prior, tau)

    def from_log_p(self, log_p):
        """Losses from log p of the labelled classes; same shape, which may be any."""
        raise NotImplementedError

    def hard_losses(self, ids, logits):
        """Unweighted losses `[...]` from class ids, int32 `[...]`, and logits `[..., K]`."""
        return self.from_log_p(-cross_entropy.sparse(ids, logits))

    def soft_losses(self, q, logits):
        """Losses `[...]` from soft labels times class weights and logits, both `[..., K]`."""
        return ops.sum(q * self.from_log_p(ops.log_softmax(logits)), axis=-1)

    def logit_offsets(self):
        """What is added to the logits, NumPy `[K]` or None, for each entry of `from_ce`'s `ces`."""
        return [self.log_prior]

    def from_ce(self, ids, ces, classes, uniform=None):
        """Losses `[n]`, class weights included, from the cross-entropies of the labelled classes.

        Heads that are divided or sampled need it, as they never have all logits of an image (see
        `bsce_tf.heads`). `table.Row.from_ce` says which losses have it.

        Args:
          ids: int32 `[n]`, class ids.
          ces: list of `[n]`: −log p of the labelled class, one for each of `logit_offsets`.
          classes: K.
          uniform: None without label smoothing. With it, `[n]`, the cross-entropy of the uniform
            part of the label: Σ w(k)·(−log p(k)) / K, where w are the class weights or 1, and the
            first of `logit_offsets` is added to the logits.
        """
        if uniform is not None:
            raise InputError(f'loss.label_smoothing: found {self.label_smoothing}; expected 0 with '
                             'this loss, or ce, bce, sce, bsce, logit_adjustment, bsce_many.')
        losses = self.from_log_p(-ces[0])
        return losses if self.class_weights is None else (
            losses * take(self.class_weights, ids, losses))

    def call(self, y_true, y_pred):
        """Losses `[...]`; `labels.by_kind` lists the shapes that labels may have."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        labels.warn_of_probabilities(y_pred, self.from_logits)
        classes = labels.classes_of(y_pred)
        self.check_width(classes)
        logits = labels.logits_of(y_pred, self.from_logits)
        if self.log_prior is not None:
            logits = logits + ops.convert_to_tensor(self.log_prior, dtype=logits.dtype)

        def of_soft(q):
            q = labels.smoothed(q, self.label_smoothing)
            if self.class_weights is not None:
                # Not in place: with PyTorch it may be the caller's tensor.
                q = q * ops.convert_to_tensor(self.class_weights, dtype=logits.dtype)
            return self.soft_losses(q, logits)

        def of_ids(ids):
            if self.label_smoothing:
                return of_soft(ops.one_hot(ids, classes, dtype=logits.dtype))
            losses = self.hard_losses(ids, logits)
            if self.class_weights is not None:
                losses = losses * take(self.class_weights, ids, logits)
            return losses

        return labels.by_kind(y_true, y_pred, of_ids, of_soft)

    def vectors(self):
        """{name: NumPy array `[K]` or None} of all arguments that have one entry per class."""
        return {'class_weights': self.class_weights, 'prior': self.prior}

    def check_width(self, classes):
        """Raises ValueError unless each of `vectors` has `classes` entries."""
        for name, vector in self.vectors().items():
            if vector is not None and len(vector) != classes:
                raise ValueError(f'{name}: found shape {vector.shape}; expected ({classes},), one '
                                 'number for each class of y_pred.')

    def get_config(self):
        """Arguments from which Keras makes the loss again."""
        return {**super().get_config(), 'tau': self.tau, 'from_logits': self.from_logits,
                'label_smoothing': self.label_smoothing,
                **{name: None if vector is None else vector.tolist()
                   for name, vector in self.vectors().items()}}


def take(vector, ids, like):
    """Entries of a NumPy vector for class ids, in the dtype of `like`."""
    return ops.take(ops.convert_to_tensor(vector, dtype=like.dtype), ids, axis=0)


def check_fields(**settings):
    """Raises InputError if a setting has a value that its field of `config.loss` may not have."""
    for name, value in settings.items():
        fields.check(f'loss.{name}', value)


def check(name, value, good, expected):
    """Raises InputError unless `good`: a setting must fit the other settings."""
    if not good:
        raise InputError(f'loss.{name}: found {value}; expected {expected}.')


def checked_weights(name, weights):
    """float32 `[K]`; raises InputError unless each is a finite number ≥ 0."""
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 1:
        raise InputError(f'{name}: found shape {weights.shape}; expected one weight a class.')
    bad = np.flatnonzero(~(weights >= 0) | ~np.isfinite(weights))
    if bad.size:
        raise InputError(f'{name}: found {weights[bad[0]]} for class {bad[0]}; expected numbers ≥ '
                         '0.')
    return weights
