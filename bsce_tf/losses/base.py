"""What all losses of labels and logits have in common."""

import keras
import numpy as np
from keras import ops

from bsce_tf import fields
from bsce_tf.errors import InputError
from bsce_tf.losses import balance, cross_entropy, labels


class ClassLoss(keras.losses.Loss):
    """A loss of one label among K, balanced by class weights, by a prior, or not at all.

    A subclass says in `of_log_p` what it makes of log p of a class. Soft labels q are then charged
    Σ q(k)·loss(k), as the authors of MixUp do (Zhang et al. 2018, section 2).

    Args:
      class_weights: `[K]` numbers ≥ 0 that the loss of each class is multiplied with, as from
        `class_weights.balanced` or `class_weights.effective`; or None.
      prior: `[K]` numbers above 0, such as class sizes: the loss is that of logits + τ·log π, with
        π = prior / Σ prior, see `balance.log_prior`; or None.
      tau: τ, 0 to 10.
      from_logits: whether the model gives logits, not probabilities.
      label_smoothing: s in [0, 1): q becomes (1−s)·q + s/K.
      reduction: any of Keras's.
      name: of the loss.
      dtype: of the computation; default `keras.config.floatx()`, so float32 in mixed precision.

    Raises:
      InputError: (a ValueError) if a number is out of its range.
    """

    def __init__(self, class_weights=None, prior=None, tau=1.0, from_logits=True,
                 label_smoothing=0.0, reduction='sum_over_batch_size', name=None, dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_fields(label_smoothing=label_smoothing)
        self.from_logits, self.label_smoothing = from_logits, float(label_smoothing)
        self.class_weights = None if class_weights is None else _checked_weights(class_weights)
        self.tau = float(tau)
        self.prior = None if prior is None else balance.shares(prior)
        self.log_prior = None if prior is None else balance.log_prior(prior, tau)

    def of_log_p(self, log_p):
        """Losses of classes by log p of each, both of any shape."""
        raise NotImplementedError

    def of_ids(self, ids, logits):
        """Unweighted losses `[...]` of class ids, int32 `[...]`, by logits `[..., K]`."""
        return self.of_log_p(-cross_entropy.of_ids(ids, logits))

    def of_shares(self, shares, logits):
        """Losses `[...]` of soft labels, times class weights, by logits; both `[..., K]`."""
        return ops.sum(shares * self.of_log_p(ops.log_softmax(logits)), axis=-1)

    def offsets(self):
        """List of what is added to the logits, NumPy `[K]` or None, for each of `of_ces`' `ces`."""
        return [self.log_prior]

    def of_ces(self, ids, ces, classes, spread=None):
        """Losses `[n]`, class weights included, by what the whole head tells of each image.

        For heads of which nobody holds all logits, see `bsce_tf.heads`; a loss of the table says in
        `Row.sums` whether it can be told so.

        Args:
          ids: int32 `[n]`.
          ces: list of `[n]`, −log p of the given class, with each of `offsets` added to the logits.
          classes: K.
          spread: with label smoothing, Σ w(k)·(−log p(k)) / K, w the class weights or 1, with the
            first of `offsets` added; else None.
        """
        if spread is not None:
            raise InputError(f'loss.label_smoothing: found {self.label_smoothing}; expected 0 with '
                             'this loss, or ce, bce, sce, bsce, logit_adjustment, bsce_many.')
        losses = self.of_log_p(-ces[0])
        return losses if self.class_weights is None else (
            losses * take(self.class_weights, ids, losses))

    def call(self, y_true, y_pred):
        """Losses `[...]`; see `labels.by_kind` for the shapes of labels."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        labels.warn_of_probabilities(y_pred, self.from_logits)
        classes = labels.classes_of(y_pred)
        self.check_width(classes)
        logits = labels.logits_of(y_pred, self.from_logits)
        if self.log_prior is not None:
            logits = logits + ops.convert_to_tensor(self.log_prior, dtype=logits.dtype)

        def of_shares(shares):
            shares = labels.smoothed(shares, self.label_smoothing)
            if self.class_weights is not None:
                shares *= ops.convert_to_tensor(self.class_weights, dtype=logits.dtype)
            return self.of_shares(shares, logits)

        def of_ids(ids):
            if self.label_smoothing:
                return of_shares(ops.one_hot(ids, classes, dtype=logits.dtype))
            losses = self.of_ids(ids, logits)
            if self.class_weights is not None:
                losses *= take(self.class_weights, ids, logits)
            return losses

        return labels.by_kind(y_true, y_pred, of_ids, of_shares)

    def vectors(self):
        """{name: NumPy array `[K]` or None} of what the loss holds for each class."""
        return {'class_weights': self.class_weights, 'prior': self.prior}

    def check_width(self, classes):
        """Raises ValueError unless all that the loss holds of each class is of K classes."""
        for name, vector in self.vectors().items():
            if vector is not None and len(vector) != classes:
                raise ValueError(f'{name}: found shape {vector.shape}; expected ({classes},), one '
                                 'number for each class of y_pred.')

    def get_config(self):
        """See Keras."""
        return {**super().get_config(), 'tau': self.tau, 'from_logits': self.from_logits,
                'label_smoothing': self.label_smoothing,
                **{name: None if vector is None else vector.tolist()
                   for name, vector in self.vectors().items()}}


def take(vector, ids, like):
    """Entries of a NumPy vector for class ids, in the dtype of `like`."""
    return ops.take(ops.convert_to_tensor(vector, dtype=like.dtype), ids, axis=0)


def check_fields(**settings):
    """Raises InputError unless each setting is what its field of `config.loss` may be."""
    for name, value in settings.items():
        fields.check(f'loss.{name}', value)


def check(name, value, good, expected):
    """Raises InputError that names a setting unless it is good beside the others."""
    if not good:
        raise InputError(f'loss.{name}: found {value}; expected {expected}.')


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
