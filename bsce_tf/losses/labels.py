"""Shapes and kinds of labels and predictions that losses accept."""

import warnings

import keras
import numpy as np
from keras import ops

from bsce_tf import internals


def classes_of(y_pred):
    """K of predictions `[..., K]`; raises ValueError if it is unknown or below 2."""
    classes = y_pred.shape[-1]
    if classes is None or classes < 2:
        raise ValueError(f'y_pred: found shape {tuple(y_pred.shape)}; expected [..., K] with K of '
                         'at least 2.')
    return classes


def by_kind(y_true, y_pred, of_ids, of_soft):
    """Calls `of_ids` if labels are class ids, and `of_soft` if they are one-hot or soft.

    A class id out of range gives NaN; on a CPU, operations of TensorFlow and PyTorch may raise an
    error instead.

    Args:
      y_true: class ids `[...]` or `[..., 1]`, or one-hot or soft labels `[..., K]`, of any dtype.
        If the size of the last axis is unknown while tracing, the graph decides when it runs.
      y_pred: `[..., K]`.
      of_ids: function of int32 `[...]` → losses `[...]`.
      of_soft: function of `[..., K]` in the dtype of `y_pred` → losses `[...]`.

    Raises:
      ValueError: if shapes do not fit together.
    """
    classes, rank = classes_of(y_pred), len(y_pred.shape)

    def ids(labels):
        labels = ops.cast(labels, 'int32')  # Keras casts labels to the loss's dtype
        inside = ops.logical_and(labels >= 0, labels < classes)
        return of_ids(labels) * ops.cast(ops.where(inside, 1.0, np.nan), y_pred.dtype)

    if len(y_true.shape) == rank - 1:
        return ids(y_true)
    width = y_true.shape[-1] if len(y_true.shape) == rank else 0
    if width == 1:
        return ids(ops.squeeze(y_true, -1))
    if width not in (classes, None):
        raise ValueError(f'y_true: found shape {tuple(y_true.shape)}; expected class ids or '
                         f'[..., {classes}] to go with y_pred {tuple(y_pred.shape)}.')
    if width is None:
        return ops.cond(ops.equal(ops.shape(y_true)[-1], 1), lambda: ids(y_true[..., 0]),
                        lambda: of_soft(ops.cast(y_true, y_pred.dtype)))
    return of_soft(ops.cast(y_true, y_pred.dtype))


def smoothed(q, smoothing):
    """Labels q `[..., K]` with label smoothing s: (1−s)·q + s/K."""
    return (1.0 - smoothing) * q + smoothing / q.shape[-1] if smoothing else q


def logits_of(y_pred, from_logits):
    """The predictions if they are logits, else log p, with p clipped to [ε, 1−ε] as Keras does."""
    if from_logits:
        return y_pred
    epsilon = keras.config.epsilon()
    p = y_pred / ops.sum(y_pred, axis=-1, keepdims=True)
    return ops.log(ops.clip(p, epsilon, 1.0 - epsilon))


def warn_of_probabilities(y_pred, from_logits):
    """Warns if a loss that expects logits gets a softmax's output, as far as that can be seen."""
    if from_logits and internals.is_of_softmax(y_pred):
        warnings.warn('the loss has from_logits=True, but the predictions come from a softmax; '
                      'expected logits, or from_logits=False.', stacklevel=2)
