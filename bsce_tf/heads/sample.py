"""Which classes a step computes: all of the batch, and a draw of the others.

An et al. 2021, "Partial FC: Training 10 Million Identities on a Single Machine". What is drawn is
corrected here, which they do not do. Let B be the classes of the batch and D what else is drawn.
Every class is among the m drawn of K with the same probability m/K, so

  S = Σ_{k ∈ B} exp z(k) + Σ_{k ∈ D} (K/m)·exp z(k),   E[S] = Σ_k exp z(k):

the partition sum is unbiased (Horvitz and Thompson 1952), by adding log(K/m) to the logits of D.
The reverse term needs 1 − p(y) = (S − exp z(y)) / S; y is in B, so its numerator and its
denominator are unbiased as well. log S, p and 1 − p are not: to second order E[log S] =
log E[S] − v/2, with v the relative variance of S, which falls as 1/m.
"""

import math

import tensorflow as tf

# Above 2³¹, so coprime to every K.
_PRIMES = (2147483659, 2149483667, 2151483683, 2153483833, 2155483849, 2157483863, 2159483891)


def count(classes, share):
    """m of `classes` classes: the next whole number above share·classes."""
    return min(math.ceil(share * classes), classes)


def draw(classes, number, seed, step):
    """m = `number` different class ids of 0 … classes − 1, int32 `[m]`: the same of the same step.

    One of each of m strata of nearly equal size, so that none comes twice and it takes O(m). Class
    prime·place + shift (mod K) stands at a place; the shift is uniform, so that each class is drawn
    with probability m/K exactly, and the primes change, so that other classes share a stratum.
    RandomIndexShuffle would not do: among 50 classes some came 30 % too rarely.

    Args:
      classes: K, below 2³¹.
      number: m, 1 to K.
      seed: whole number.
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


def united(labels, drawn, log_weight):
    """(ids `[s]`, log weights `[s]`, places of the labels among the ids) of classes to compute.

    Args:
      labels: int32 `[n]`, class ids of the batch.
      drawn: int32 `[m]`.
      log_weight: log(K/m).
    """
    ids, places = tf.unique(tf.concat([labels, drawn], 0))  # in the order in which they come
    given = tf.size(tf.unique(labels)[0])
    return ids, tf.where(tf.range(tf.size(ids)) < given, 0.0, log_weight), places[:tf.size(labels)]
