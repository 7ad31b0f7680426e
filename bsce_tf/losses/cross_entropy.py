"""Sparse cross-entropy: −log p of the labelled class from logits and class ids.

With TensorFlow, each logit is exponentiated once. TensorFlow's own operation does it twice, for the
sum and for the gradient, which takes most of its time on a CPU. On JAX and PyTorch, Keras's
function is used: compilers fuse its steps.
"""

import keras
import numpy as np
from keras import ops

from bsce_tf import internals

# Where log priors differ by more than this, sums of exponentials could underflow in float32.
_WIDEST = 60.0


def sparse(ids, logits):
    """−log softmax(logits)[id], `[...]`.

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


def sparse_with_prior(ids, logits, log_prior):
    """(−log softmax(logits)[id], −log softmax(logits + log_prior)[id]), both `[...]`.

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
        return sparse(ids, logits), sparse(ids, moved)
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
    """Function (matrix, indices, amounts) that subtracts the amounts at these indices.

    It works in place if nothing else uses the matrix. XLA only has tensor_scatter_nd_sub, which
    always copies.
    """
    if internals.compiled_by_xla():
        return tf.tensor_scatter_nd_sub
    return lambda matrix, at, amounts: tf.raw_ops.ScatterNdNonAliasingAdd(
        input=matrix, indices=at, updates=-amounts)


def _flat(tf, ids, logits):
    """(shape of the ids, logits `[n, K]`, indices `[n, 2]` of the labelled classes in them)."""
    shape = tf.shape(ids)
    ids = tf.reshape(ids, [-1])
    return (shape, tf.reshape(logits, [-1, logits.shape[-1]]),
            tf.stack([tf.range(tf.size(ids)), ids], axis=-1))
