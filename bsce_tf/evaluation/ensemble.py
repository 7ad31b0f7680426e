"""Top-1 vote of several models, as TensorFlow ops for evaluation and the exported graph."""

import tensorflow as tf


def votes(probabilities):
    """int32 `[n, K]`: how many models put each class first.

    Args:
      probabilities: `[models, n, K]`.
    """
    first = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    # Not tf.one_hot: tf2onnx turns one of whole numbers into what onnxruntime cannot read.
    is_first = tf.equal(first[..., None], tf.range(tf.shape(probabilities)[-1]))
    return tf.reduce_sum(tf.cast(is_first, tf.int32), axis=0)


def ranking(probabilities, dtype=tf.float64):
    """`[n, K]`, a score of each class; the top-1 vote ranks the highest first.

    The class with more votes ranks first; ties: the one with the higher mean probability. (Section
    4.4 of the paper votes and does not say how ties are broken.)

    Args:
      probabilities: `[models, n, K]`, each row summing to 1.
      dtype: of the result.

    Returns:
      votes + mean probability / 2. A mean is at most 1, so it never outweighs a vote. In
      float32 differences of the mean below 1e-6 are lost next to the votes.
    """
    mean = tf.reduce_mean(tf.cast(probabilities, dtype), axis=0)
    return tf.cast(votes(probabilities), dtype) + mean / 2
