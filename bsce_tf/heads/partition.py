"""What a loss needs to know of all classes of an image, from the logits of a part of them.

Of each image a part gives a few numbers, which are put together over the parts: the largest logit
and Σ exp(z − largest) for each addition to the logits that a loss asks for (a prior, or none), the
logit of the true class, and a weighted sum of logits for label smoothing.
"""

import tensorflow as tf


def numbers(logits, offsets, weights, places, own):
    """The numbers of a part, `[n, 2·len(offsets) + 2]`; see `together`.

    Args:
      logits: float32 `[n, s]`, of the classes of this part.
      offsets: list of float32 `[s]`, which are added to them; −inf for what is no class.
      weights: float32 `[s]` of the weighted sum of logits, or None.
      places: int32 `[n]`, columns of the true classes; anything where they are elsewhere.
      own: float32 `[n]`: 1 where the true class is in this part, else 0.
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
            # What is made of the sums does not depend on the largest, so that has no gradient.
            result = tf.add_n([power * upstream[:, 2 * i + 1, None]
                               for i, power in enumerate(powers)])
            if weights is not None:
                result += upstream[:, -1, None] * weights
            return tf.raw_ops.ScatterNdNonAliasingAdd(input=result, indices=at,
                                                      updates=upstream[:, -2] * own)

        return tf.stack(found, axis=-1), gradient

    return of_logits(logits)


def together(found, offsets_of_labels):
    """Numbers of all parts put together.

    Args:
      found: `[parts, n, 2·o + 2]`, of `numbers`.
      offsets_of_labels: list of o times `[n]`: what is added to the true class's logit.

    Returns:
      (list of o times `[n]`: −log p of the true class; log Σ exp of the first addition, `[n]`;
      weighted sum of logits, `[n]`).
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
