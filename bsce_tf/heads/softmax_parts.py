"""Softmax over classes whose logits are in several parts.

Each part computes a few statistics per image; combined, they give −log p of the true class. They
are: for each offset that a loss adds to the logits (a prior, or none), the largest logit and
Σ exp(z − largest); the logit of the true class; and a weighted sum of logits, for label smoothing.
"""

import tensorflow as tf


def statistics(logits, offsets, weights, places, own):
    """Statistics of one part, float32 `[n, 2·len(offsets) + 2]`, for `combined`.

    Args:
      logits: float32 `[n, s]`, of the s classes in this part.
      offsets: list of float32 `[s]`, each added to the logits; −inf for unused columns.
      weights: float32 `[s]` for the weighted sum of logits, or None.
      places: int32 `[n]`, columns of the true classes; any valid column if `own` is 0.
      own: float32 `[n]`: 1 if the true class is in this part, else 0.
    """
    at = tf.stack([tf.range(tf.shape(logits)[0]), places], axis=-1)

    @tf.custom_gradient
    def of_logits(logits):
        found, powers = [], []
        for offset in offsets:
            moved = logits + offset
            largest = tf.reduce_max(moved, axis=-1)
            powers.append(tf.exp(moved - largest[:, None]))
            found += [largest, tf.reduce_sum(powers[-1], axis=-1)]
        found.append(tf.gather_nd(logits, at) * own)
        found.append(tf.zeros_like(own) if weights is None else
                     tf.linalg.matvec(logits, weights))

        def gradient(upstream):
            # The losses do not depend on the choice of the largest logit: no gradient for it.
            result = tf.add_n([power * upstream[:, 2 * i + 1, None]
                               for i, power in enumerate(powers)])
            if weights is not None:
                result += upstream[:, -1, None] * weights
            return tf.raw_ops.ScatterNdNonAliasingAdd(input=result, indices=at,
                                                      updates=upstream[:, -2] * own)

        return tf.stack(found, axis=-1), gradient

    return of_logits(logits)


def combined(found, offsets_of_labels):
    """Combines the statistics of all parts.

    Args:
      found: `[parts, n, 2·o + 2]`, from `statistics` with o offsets.
      offsets_of_labels: list of o tensors `[n]`: the offset of each image's true class.

    Returns:
      (list of o tensors `[n]`, −log p of the true class; `[n]`, log Σ exp with the first offset;
      `[n]`, the weighted sum of logits).
    """
    true, weighted = tf.reduce_sum(found[..., -2], 0), tf.reduce_sum(found[..., -1], 0)
    losses, first = [], None
    for i, offset in enumerate(offsets_of_labels):
        each = tf.stop_gradient(found[..., 2 * i])
        largest = tf.reduce_max(each, axis=0)
        log_sum = tf.math.log(tf.reduce_sum(found[..., 2 * i + 1] * tf.exp(each - largest), 0))
        losses.append(log_sum - (true + offset - largest))
        first = log_sum + largest if first is None else first
    return losses, first, weighted
