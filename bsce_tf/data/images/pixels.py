"""Operations on decoded images that need little memory beside the image and the result."""

import tensorflow as tf

_BAND = 2**20  # elements of the image that are processed at once


def in_bands(function, image):
    """Applies `function` to a few rows at a time, which keeps its temporaries small.

    Args:
      function: maps uint8 `[rows, …]` to uint8 `[rows, width, 3]`.
      image: uint8 `[height, …]`.

    Returns:
      uint8 `[height, width, 3]`.
    """
    height = tf.shape(image)[0]
    rows = tf.maximum(_BAND // tf.maximum(tf.size(image[:1]), 1), 1)
    count = (height + rows - 1) // rows

    def step(i, bands):
        return i + 1, bands.write(i, function(image[i * rows:(i + 1) * rows]))

    bands = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=[None, None, 3])
    _, bands = tf.while_loop(lambda i, _: i < count, step, (0, bands), parallel_iterations=1)
    return bands.concat()


def on_white(image):
    """RGBA → RGB, composited on white: uint8 `[height, width, 4]` → `[height, width, 3]`."""
    def blended(band):
        # 255 × 255 fits into 16 bits.
        colour = tf.cast(band[..., :3], tf.uint16)
        alpha = tf.cast(band[..., 3:], tf.uint16)
        return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

    opaque = tf.equal(tf.reduce_min(image[..., 3]), 255)
    return tf.cond(opaque, lambda: image[..., :3], lambda: in_bands(blended, image))
