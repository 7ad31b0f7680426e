"""Voting over models, as TensorFlow ops, so that evaluation and the exported graph share it."""

import tensorflow as tf


def votes(probabilities):
    """int32 `[n, K]`: how many models put each class first.

    Args:
      probabilities: `[models, n, K]`.
    """
    first = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.one_hot(first, tf.shape(probabilities)[-1], dtype=tf.int32), axis=0)


def ranking(probabilities):
    """float64 `[n, K]` that sorts classes as the top-1 vote does: the larger, the better.

    More votes come first; among classes with equally many, the one with the higher mean
    probability. (The paper votes, section 4.4, and does not say what becomes of a tie.)

    Args:
      probabilities: `[models, n, K]`, each row summing to 1.

    Returns:
      votes + mean probability / 2: a mean is at most 1, so it never outweighs a vote. In float64,
      since float32 would round small differences of the mean away beside a vote.
    """
    mean = tf.reduce_mean(tf.cast(probabilities, tf.float64), axis=0)
    return tf.cast(votes(probabilities), tf.float64) + mean / 2
