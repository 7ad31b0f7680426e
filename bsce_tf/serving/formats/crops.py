"""Centre crops in ops that every format has: resizing as two matrix products.

Bilinear resizing is linear in the pixels, and its weights are a product of those of rows and
columns. So a crop is rows · image · columnsᵀ, with matrices that depend on the image's size alone.
"""

import tensorflow as tf


def centre(images, view):
    """As `View.centre`, of images of one size, as float32.

    Before rounding it differs from `data.images.crops.centre_crops` by less than 0.01 of 255, so
    that one value in a thousand is rounded to the next number.

    Args:
      images: uint8 `[n, height, width, 3]`.
      view: a `View`.

    Returns:
      float32 `[n, scales, C, C, channels]`, whole numbers from 0 to 255.
    """
    shape = tf.cast(tf.shape(images)[1:3], tf.float32)
    pixels = tf.cast(images, tf.float32)
    crops = []
    for scale in view.scales:
        resized = tf.fill([2], float(scale))
        if view.aspect == 'keep':
            resized = tf.round(shape * (scale / tf.reduce_min(shape)))
        start = tf.floor((resized - view.size) / 2) * (shape / resized)
        length = view.size * (shape / resized)
        rows, columns = (_weights(shape[i], start[i], length[i], view) for i in range(2))
        crops.append(_product(columns, _product(rows, pixels)))
    crops = tf.stack(crops, axis=1)
    if view.channels == 1:  # last, as LiteRT would average any number of channels without a word
        crops = tf.reduce_mean(crops, axis=-1, keepdims=True)
    return tf.floor(crops + 0.5)


def _weights(side, start, length, view):
    """`[C, side]`: how much of each pixel is in each of C cells of `length` pixels from `start`."""
    step = length / view.size
    centres = start + (tf.range(view.size, dtype=tf.float32) + 0.5) * step
    reach = tf.maximum(step, 1.0) if view.antialias else 1.0
    distances = tf.abs(tf.range(side)[None] + 0.5 - centres[:, None])
    weights = tf.nn.relu(1 - distances / reach)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _product(weights, images):
    """`[n, b, C, channels]` from weights `[C, a]` and `[n, a, b, channels]`.

    It transposes, so that a second product works on the other side and turns the result back.
    """
    shape = tf.shape(images)
    channels = images.shape[-1]
    flat = tf.reshape(images, [shape[0], shape[1], shape[2] * channels])
    product = tf.reshape(tf.matmul(weights[None], flat), [shape[0], -1, shape[2], channels])
    return tf.transpose(product, [0, 2, 1, 3])
