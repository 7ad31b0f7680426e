"""−log p of the given class, `[...]`, from logits `[..., K]` and class ids, without one-hot labels.

On TensorFlow one exponential of each logit is taken. TensorFlow's own cross-entropy takes two, one
for the sum and one for the gradient, and they are most of its time on a CPU. Compilers fuse what
JAX and PyTorch do, so there it would gain nothing.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf import internals

# Where priors differ by more than e to this, their sums of powers could underflow in float32.
_WIDEST = 60.0


def of_ids(ids, logits):
    """−log softmax(logits)[id].

    Args:
      ids: int32 `[...]`.
      logits: `[..., K]`.
    """
    if keras.backend.backend() != 'tensorflow':
        return ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
    import tensorflow as tf  # which Keras has loaded

    shape, rows, at = _flat(tf, ids, logits)
    subtract = _subtraction(tf)

    @tf.custom_gradient
    def of_rows(logits):
        largest = tf.reduce_max(logits, axis=-1, keepdims=True)
        powers = tf.exp(logits - largest)
        total = tf.reduce_sum(powers, axis=-1)

        def gradient(upstream):
            spread = powers * (upstream / total)[:, None]
            return subtract(spread, at, upstream)

        return tf.math.log(total) - (tf.gather_nd(logits, at) - largest[:, 0]), gradient

    return tf.reshape(of_rows(rows), shape)


def with_prior(ids, logits, log_prior):
    """(−log softmax(logits)[id], −log softmax(logits + log_prior)[id]).

    Args:
      ids: int32 `[...]`.
      logits: `[..., K]`.
      log_prior: NumPy array `[K]`.
    """
    log_prior = np.asarray(log_prior) - np.max(log_prior)
    dtype = keras.backend.standardize_dtype(logits.dtype)
    if (keras.backend.backend() != 'tensorflow' or dtype not in ('float32', 'float64')
            or log_prior.min() < -_WIDEST):
        moved = logits + ops.convert_to_tensor(log_prior, dtype=dtype)
        return of_ids(ids, logits), of_ids(ids, moved)
    import tensorflow as tf  # which Keras has loaded

    shape, rows, at = _flat(tf, ids, logits)
    subtract = _subtraction(tf)
    log_prior = tf.constant(log_prior, logits.dtype)
    prior = tf.exp(log_prior)  # not above 1

    @tf.custom_gradient
    def of_rows(logits):
        largest = tf.reduce_max(logits, axis=-1, keepdims=True)
        powers = tf.exp(logits - largest)
        # No matrix product: on GPUs that would be rounded to TensorFloat-32.
        plain, moved = tf.reduce_sum(powers, axis=-1), tf.reduce_sum(powers * prior, axis=-1)

        def gradient(of_plain, of_moved):
            shares = (of_plain / plain)[:, None] + (of_moved / moved)[:, None] * prior
            return subtract(powers * shares, at, of_plain + of_moved)

        true = tf.gather_nd(logits, at) - largest[:, 0]
        of_class = tf.gather(log_prior, at[:, 1])
        return (tf.math.log(plain) - true, tf.math.log(moved) - true - of_class), gradient

    return tuple(tf.reshape(loss, shape) for loss in of_rows(rows))


def _subtraction(tf):
    """Function of a matrix, places in it and what is to be taken off there.

    Where the matrix is used nowhere else the result lies in its memory. TensorFlow's
    tensor_scatter_nd_sub always copies, but is the one that XLA knows.
    """
    if internals.compiled_by_xla():
        return tf.tensor_scatter_nd_sub
    return lambda matrix, at, amounts: tf.raw_ops.ScatterNdNonAliasingAdd(
        input=matrix, indices=at, updates=-amounts)


def _flat(tf, ids, logits):
    """Shape of the ids, logits `[n, K]`, and where in them the given classes stand, `[n, 2]`."""
    shape = tf.shape(ids)
    ids = tf.reshape(ids, [-1])
    return (shape, tf.reshape(logits, [-1, logits.shape[-1]]),
            tf.stack([tf.range(tf.size(ids)), ids], axis=-1))
