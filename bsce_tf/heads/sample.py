"""Sampled heads: which classes a step computes, namely those of the batch and some drawn ones.

An et al. 2021, "Partial FC: Training 10 Million Identities on a Single Machine". Unlike there, the
partition sum is corrected for the sampling. Let B be the classes of the batch and D the other drawn
classes. m of K classes are drawn, each with probability m/K, so

  S = Σ_{k ∈ B} exp z(k) + Σ_{k ∈ D} (K/m)·exp z(k),   E[S] = Σ_k exp z(k):

log(K/m) added to the logits of D makes the partition sum unbiased (Horvitz and Thompson 1952).
The reverse term needs 1 − p(y) = (S − exp z(y)) / S. As y is in B, its numerator and denominator
are unbiased, too. log S, p and 1 − p are biased: to second order, E[log S] = log E[S] − v/2, where
v is the relative variance of S, which falls as 1/m.
"""

import math

import tensorflow as tf

# Above 2³¹, so coprime to every K.
_PRIMES = (2147483659, 2149483667, 2151483683, 2153483833, 2155483849, 2157483863, 2159483891)


def count(classes, share):
    """m, how many of `classes` classes to draw: share·classes, rounded up."""
    return min(math.ceil(share * classes), classes)


def draw(classes, number, seed, step):
    """Draws m = `number` different class ids, int32 `[m]`; seed and step determine them.

    Places 0 … K−1 are cut into m strata of nearly equal size, and one place is drawn from each, so
    no class comes twice and the cost is O(m). Place i holds class prime·i + shift (mod K). As the
    shift is uniform, each class is drawn with probability m/K exactly; as the prime changes, so do
    the classes that share a stratum. RandomIndexShuffle is not uniform enough: among 50 classes
    some were drawn 30 % too rarely.

    Args:
      classes: K, below 2³¹.
      number: m, 1 to K.
      seed: integer.
      step: int64 scalar tensor.
    """
    def uniform(shape, which):
        return tf.random.stateless_uniform(
            shape, [tf.constant(seed, tf.int64), 3 * tf.cast(step, tf.int64) + which],
            dtype=tf.float64)

    starts = tf.range(number + 1, dtype=tf.int64) * classes // number
    sizes = tf.cast(starts[1:] - starts[:-1], tf.float64)
    places = starts[:-1] + tf.cast(uniform([number], 0) * sizes, tf.int64)
    shift = tf.cast(uniform([], 1) * classes, tf.int64)
    prime = tf.gather(tf.constant(_PRIMES, tf.int64),
                      tf.cast(uniform([], 2) * len(_PRIMES), tf.int32))
    return tf.cast((prime * places + shift) % classes, tf.int32)


def merged(labels, drawn, log_weight):
    """(class ids `[s]`, log weights `[s]`, index of each label in the ids `[n]`) for a step.

    Args:
      labels: int32 `[n]`, class ids of the batch.
      drawn: int32 `[m]`.
      log_weight: log(K/m).
    """
    ids, places = tf.unique(tf.concat([labels, drawn], 0))  # in the order in which they come
    given = tf.size(tf.unique(labels)[0])  # classes of the batch
    return ids, tf.where(tf.range(tf.size(ids)) < given, 0.0, log_weight), places[:tf.size(labels)]
