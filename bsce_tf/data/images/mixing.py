"""MixUp and CutMix: two images, and their labels, become two mixed ones."""

import tensorflow as tf

from bsce_tf.data.images.augment import paste


def mix(images, labels, seed, mixup, cutmix):
    """MixUp or CutMix of a pair of images, each with the other.

    λ is drawn from Beta(α, α). MixUp blends λ · own + (1 − λ) · other. CutMix pastes a rectangle of
    the other image, 1 − λ of the area, around a random point and clips it to the image; λ then
    becomes the share that is left of the own image.

    Args:
      images: uint8 `[2, C, C, channels]`.
      labels: int32 `[2]`.
      seed: int tensor `[2]`, one for the pair.
      mixup, cutmix: α of each, 0 for none; not both 0.

    Returns:
      uint8 `[2, C, C, channels]`; int32 `[2, 2]`, own and other label; float32 `[2]`, λ.
    """
    draws = tf.random.stateless_uniform([3], seed)
    cuts = tf.constant(bool(cutmix)) if not (mixup and cutmix) else draws[2] < 0.5
    alpha = tf.where(cuts, cutmix or mixup, mixup or cutmix)
    others = tf.stack([images[1], images[0]])  # images[::-1] takes ten times as long
    gammas = tf.random.stateless_gamma([2], seed, alpha)
    share = gammas[0] / tf.maximum(tf.reduce_sum(gammas), 1e-30)

    def cut():
        shape = tf.cast(tf.shape(images)[1:3], tf.float32)
        half = tf.floor(shape * tf.sqrt(1.0 - share) / 2)
        centre = tf.floor(draws[:2] * shape)
        start, end = tf.maximum(centre - half, 0.0), tf.minimum(centre + half, shape)
        left = 1.0 - tf.reduce_prod(end - start) / tf.reduce_prod(shape)
        start, end = tf.cast(start, tf.int32), tf.cast(end, tf.int32)
        return paste(images, others[:, start[0]:end[0], start[1]:end[1]], start), left

    def blend():
        own, other = tf.cast(images, tf.float32), tf.cast(others, tf.float32)
        return tf.cast(other + share * (own - other) + 0.5, tf.uint8), share

    mixed, share = tf.cond(cuts, cut, blend)
    return (tf.ensure_shape(mixed, images.shape), tf.stack([labels, labels[::-1]], 1),
            tf.fill([2], share))


def soft_labels(pairs, share, num_classes):
    """float32 `[n, K]` from own and other label, int32 `[n, 2]`, and λ, float32 `[n]`."""
    own, other = (tf.one_hot(pairs[:, i], num_classes) for i in range(2))
    return share[:, None] * own + (1.0 - share[:, None]) * other
