"""Shrinks encoded images once, before they are packed, so that training decodes fewer pixels."""

import tensorflow as tf

from bsce_tf.data.images import check, decode
from bsce_tf.errors import InputError


def shrunk(image, *, side, quality, max_pixels):
    """An encoded image with a shorter side of at most `side` pixels.

    An image whose shorter side is no longer stays as it is, byte for byte. Of any other, the
    pixels that training sees (`decode.decode`: upright by its Exif orientation, transparent parts
    on white, the first frame of an animation) are shrunk by a Lanczos filter, the longer side in
    proportion, and written as a JPEG without metadata.

    Args:
      image: bytes of a file of any format, or an InputError, which is returned.
      side: pixels.
      quality: of the JPEG, 1 … 100.
      max_pixels: see `decode.decode`.

    Returns:
      bytes; or an InputError with one line if the image cannot be decoded.
    """
    if isinstance(image, InputError):
        return image
    try:
        with tf.device('/CPU:0'):
            return _shrink(image, side, quality, max_pixels).numpy()
    except tf.errors.OpError:
        return InputError(check.reason(image, max_pixels) or 'does not decode')


# Compiled, as `check`'s functions are: op by op, the overhead would exceed the decoding.
@tf.function(input_signature=[tf.TensorSpec([], tf.string), *[tf.TensorSpec([], tf.int32)] * 2,
                              tf.TensorSpec([], tf.int64)], autograph=False)
def _shrink(data, side, quality, max_pixels):
    _, _, shape = decode.header(data)
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(shape > 0), ['no size'])]):
        large = tf.reduce_min(shape) > tf.cast(side, tf.int64)
    return tf.cond(large, lambda: _smaller(data, side, quality, max_pixels), lambda: data)


def _smaller(data, side, quality, max_pixels):
    pixels = decode.decode(data, max_pixels)
    shape = tf.cast(tf.shape(pixels)[:2], tf.float64)
    scale = tf.cast(side, tf.float64) / tf.reduce_min(shape)
    size = tf.cast(tf.round(shape * scale), tf.int32)
    found = tf.image.resize(pixels, size, 'lanczos3', antialias=True)
    rounded = tf.cast(tf.clip_by_value(tf.round(found), 0, 255), tf.uint8)
    return tf.raw_ops.EncodeJpegVariableQuality(images=rounded, quality=quality)
