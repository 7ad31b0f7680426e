"""Top-1 vote of several models, as TensorFlow ops for evaluation and the exported graph."""

import tensorflow as tf


def votes(probabilities):
    """int32 `[n, K]`: how many models put each class first.

    Args:
      probabilities: `[models, n, K]`.
    """
    first = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.one_hot(first, tf.shape(probabilities)[-1], dtype=tf.int32), axis=0)


def ranking(probabilities):
    """float64 `[n, K]`, a score of each class; the top-1 vote ranks the highest first.

    The class with more votes ranks first; ties: the one with the higher mean probability. (Section
    4.4 of the paper votes and does not say how ties are broken.)

    Args:
      probabilities: `[models, n, K]`, each row summing to 1.

    Returns:
      votes + mean probability / 2. A mean is at most 1, so it never outweighs a vote. float64, as
      float32 would lose small differences of the mean next to the votes.
    """
    mean = tf.reduce_mean(tf.cast(probabilities, tf.float64), axis=0)
    return tf.cast(votes(probabilities), tf.float64) + mean / 2
