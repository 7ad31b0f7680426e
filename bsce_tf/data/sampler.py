"""Which example is the n-th of a run: a pure function of the seed and n.

No shuffle buffer and no iterator state: a run can stop and resume at any step, on any number of
workers, and see the same examples.
"""

import numpy as np
import tensorflow as tf

from bsce_tf import fields
from bsce_tf.errors import InputError

_ROUNDS = 4  # of the block cipher behind RandomIndexShuffle; the smallest number allowed

# Primes above 2³¹: each is coprime to every class size, so j → prime·j + shift (mod size) permutes
# a class. RandomIndexShuffle would too, but for small sets it takes 2¹⁶ / size times as long.
_PRIMES = (
    2147483659, 2149483667, 2151483683, 2153483833, 2155483849, 2157483863, 2159483891,
    2161483901, 2163483923, 2165483933, 2167483943, 2169483959, 2171483983, 2173483999,
    2175484007, 2177484017)


def drawn(counts, gamma=0.0, cap=0):
    """Images of each class in an epoch of a `Sampler`.

    Args:
      counts: `[K]` images of each class.
      gamma: γ of the sampler.
      cap: of the sampler.

    Returns:
      float64 `[K]`; their sum is the epoch's size.

    Raises:
      InputError: if γ or the cap is out of range.
    """
    fields.check('sampler.gamma', gamma)
    fields.check('sampler.cap', cap)
    kept = np.minimum(counts, cap or np.inf).astype(np.float64)
    if not gamma:
        return kept
    share = np.zeros(len(kept))
    share[kept > 0] = kept[kept > 0] ** (1.0 - gamma)
    return share * (kept.sum() / share.sum())


class Sampler:
    """Maps positions of a run to examples.

    With m(k) = min(n(k), cap) images of class k, an epoch has `epoch_size` = Σ m(k) positions, of
    which class k gets the share m(k)^(1−γ) / Σ m(j)^(1−γ), exact to one image in every epoch
    (systematic sampling with a random offset). Within a class its images take turns in a shuffled
    order, so none comes a second time before all others came once. With γ = 0 and no cap an epoch
    is a permutation of all examples.

    Args:
      labels: int `[N]`, class of each example.
      num_classes: K.
      seed: 0 … 2³¹−1.
      gamma: γ ≥ 0; 0 is instance-balanced, 0.5 square-root, 1 class-balanced sampling (Kang et
        al. 2020, "Decoupling Representation and Classifier", equation 1, with q = 1 − γ).
      cap: the most images of a class that count towards an epoch; 0 for no cap.

    Raises:
      InputError: if γ or the cap is out of range or a label is outside 0 … K−1.
    """

    def __init__(self, labels, num_classes, seed=0, gamma=0.0, cap=0):
        labels = np.asarray(labels)
        if not labels.size or labels.min() < 0 or labels.max() >= num_classes:
            raise InputError('sampler: labels must be given and lie in '
                             f'0 to {num_classes - 1} to sample by class.')
        counts = np.bincount(labels, minlength=num_classes)
        quota = drawn(counts, gamma, cap)
        self.epoch_size = round(quota.sum())
        ends = np.cumsum(quota)
        ends[np.flatnonzero(counts)[-1]:] = self.epoch_size  # rounding must not lose the last slot
        self._seed = tf.constant(seed, tf.int64)
        self._quota = tf.constant(quota, tf.float64)
        self._ends = tf.constant(np.append(0.0, ends), tf.float64)
        self._counts = tf.constant(counts, tf.int64)
        self._first = tf.constant(np.cumsum(counts) - counts, tf.int64)
        # Shuffle before sorting by class: neighbours in a list are often alike.
        order = np.random.default_rng(seed).permutation(len(labels))
        members = order[np.argsort(labels[order], kind='stable')]
        self._members = tf.constant(members, tf.int64)

    def __call__(self, positions):
        """Examples at the given positions of the run.

        Args:
          positions: int64 tensor `[n]`, each ≥ 0.

        Returns:
          int64 tensor `[n]` of indices into the labels.
        """
        positions = tf.cast(positions, tf.int64)
        epoch = positions // self.epoch_size
        slot = self._shuffle(positions % self.epoch_size, epoch)
        offset = self._offset(epoch)
        cls = tf.searchsorted(self._ends, tf.cast(slot, tf.float64) + offset, side='right') - 1
        start = tf.gather(self._ends, cls)
        within = slot - tf.cast(tf.math.ceil(start - offset), tf.int64)
        quota = tf.gather(self._quota, cls)
        turn = tf.cast(tf.cast(epoch, tf.float64) * quota, tf.int64) + within
        size = tf.gather(self._counts, cls)
        member = self._turn_to_member(turn, size, tf.cast(cls, tf.int64))
        return tf.gather(self._members, tf.gather(self._first, cls) + member)

    def _offset(self, epoch):
        """Where in [0, 1) the systematic sample of an epoch begins: a low-discrepancy sequence."""
        golden = 0.6180339887498949
        return tf.math.floormod(tf.cast(epoch, tf.float64) * golden + 0.5, 1.0)

    def _shuffle(self, index, epoch):
        """A permutation of the epoch's slots, evaluated at `index`."""
        seed = tf.stack([tf.fill(tf.shape(index), self._seed), epoch, tf.zeros_like(epoch)], axis=1)
        return tf.raw_ops.RandomIndexShuffle(
            index=index, seed=seed, max_index=tf.constant(self.epoch_size - 1, tf.int64),
            rounds=_ROUNDS)

    def _turn_to_member(self, turn, size, cls):
        """Which image of its class a turn takes: another order in every cycle through the class."""
        cycle = turn // size
        mixed = cycle * 6364136223846793005 + cls * 1442695040888963407 + self._seed
        mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 29))
        prime = tf.gather(tf.constant(_PRIMES, tf.int64), tf.math.floormod(mixed, len(_PRIMES)))
        return (prime * (turn % size) + tf.math.floormod(mixed // len(_PRIMES), size)) % size
