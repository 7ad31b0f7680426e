"""Encoded images → pixels, as TensorFlow ops only, so that training and serving share them."""

import tensorflow as tf

from bsce_tf.data.images import bmp, exif, gif, layout, pixels, webp

FORMATS = ('JPEG', 'PNG', 'GIF', 'BMP', 'WebP')  # as `kind` counts them
_PNG, _PNG_SHAPE = b'\x89PNG\r\n\x1a\n', (20, 16)  # first bytes; where height and width lie


def decode(data, max_pixels=0):
    """Decodes a JPEG, PNG, GIF, BMP or WebP image.

    Training, `verify`, `predict` and exported models all decode by this function. JPEG: the same
    bits as Pillow, also grey and CMYK (Adobe's inverted kind and the plain one). PNG: 16 bits per
    channel are cut to 8. JPEG, PNG and WebP are turned upright by their Exif orientation.
    Transparent PNG, GIF, WebP and BMP are composited on white, as product pictures expect. Of an
    animation (GIF, WebP, PNG) only the first frame is read, on its canvas. BMP: see `bmp`;
    run-length encoded ones are refused.

    Args:
      data: scalar string tensor, the whole file.
      max_pixels: the most pixels (width × height of the canvas) to decode, int or int64 scalar; 0
        for no limit. It is compared with the header, before anything is decoded.

    Returns:
      uint8 `[height, width, 3]`.

    Raises:
      tf.errors.InvalidArgumentError: when run on bytes that are not such an image, are truncated,
        or hold more than `max_pixels`.
    """
    return _jpeg_or(_other, data, max_pixels)


def decode_in_pipeline(data, max_pixels=0):
    """As `decode`, for the functions of a tf.data pipeline; some formats go through Python.

    TensorFlow copies and optimises the functions of each pipeline anew. With the ops of GIF, BMP
    and the rarer kinds of WebP in the graph, the first batch takes 3 s of CPU longer. So these
    formats are decoded by a call through Python, at 75 to 90 % of the speed. A saved model has no
    Python and uses `decode`.
    """
    return _jpeg_or(_png_or_call, data, max_pixels)


def header(data):
    """Reads (head, kind, shape) from the first bytes of an image.

    Args:
      data: scalar string tensor, the whole file.

    Returns:
      uint8 `[layout.HEAD]`: the first bytes, padded with zeros; int32 scalar: the index of the
      format in `FORMATS`, or their number for another format; int64 `[2]`: height and width of the
      canvas, before it is turned upright.

    Raises:
      tf.errors.InvalidArgumentError: when run on a JPEG whose header is damaged.
    """
    head = layout.head_of(data)
    kind = _kind(head)
    shape = tf.switch_case(kind, [
        lambda: tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64),
        lambda: layout.numbers(head, _PNG_SHAPE, 4, 'big'),
        lambda: gif.shape(data, head),
        lambda: bmp.shape(head),
        lambda: webp.shape(head),
        lambda: tf.zeros([2], tf.int64),
    ])
    return head, kind, shape


def is_plain_jpeg(data):
    """Whether `data` is an upright JPEG with an end marker: a part of it can be decoded alone."""
    length = tf.strings.length(data)
    last = tf.strings.substr(data, tf.maximum(length - 2, 0), 2)
    return tf.equal(last, b'\xff\xd9') & tf.cond(
        _is_jpeg(data), lambda: tf.equal(exif.of_jpeg(data), 1), lambda: False)


def jpeg_window(data, window, ratio):
    """Decodes a window of a JPEG, reduced in the frequency domain; faster than all of it.

    The values differ from `decode`'s by about 1 of 255 on average: the inverse transform is the
    faster one, and the colour channels, which most JPEGs store at half the resolution, are repeated
    instead of interpolated. That hardly shows in a shrunk image.

    Args:
      data: scalar string tensor, a JPEG.
      window: int32 `[4]`: top, left, height, width in pixels of the full image.
      ratio: int32 scalar 1, 2, 4 or 8: how many times smaller the result is; the window is rounded
        to pixels of the reduced image.

    Returns:
      uint8 `[height / ratio, width / ratio, 3]`.
    """
    def branch(k):
        return lambda: tf.io.decode_and_crop_jpeg(
            data, window // k, channels=3, ratio=k, fancy_upscaling=False)

    power = tf.cast(ratio >= 2, tf.int32) + tf.cast(ratio >= 4, tf.int32) + tf.cast(
        ratio >= 8, tf.int32)
    image = tf.switch_case(power, [branch(1), branch(2), branch(4), branch(8)])
    image.set_shape([None, None, 3])
    return image


def check_size(shape, max_pixels):
    """Ops that fail where height × width of `shape` exceed `max_pixels`; none for 0.

    Args:
      shape: int `[2]`.
      max_pixels: as in `decode`.
    """
    if isinstance(max_pixels, int) and not max_pixels:
        return []
    # As floats: the product of two numbers of 32 bits may be more than 63 bits hold.
    found = tf.reduce_prod(tf.cast(shape, tf.float64))
    most = tf.cast(max_pixels, tf.float64)
    return [layout.require((found <= most) | tf.equal(most, 0), 'too many pixels')]


def _is_jpeg(data):
    return tf.equal(tf.strings.substr(data, 0, 3), b'\xff\xd8\xff')


def _jpeg_or(other, data, max_pixels):
    """A decoded JPEG, or what `other` returns for the data and an int64 limit."""
    def jpeg():
        shape = tf.io.extract_jpeg_shape(data)[:2]
        with tf.control_dependencies(check_size(shape, max_pixels)):
            image = tf.io.decode_jpeg(data, channels=3, dct_method='INTEGER_ACCURATE')
        return exif.upright(image, exif.of_jpeg(data))

    limit = tf.cast(max_pixels, tf.int64)
    image = tf.cond(_is_jpeg(data), jpeg, lambda: other(data, limit))
    image.set_shape([None, None, 3])
    return image


@layout.as_call(layout.DATA_SPEC, tf.TensorSpec([], tf.int64))
def _png_or_call(data, max_pixels):
    """As `_other`: PNG and plain WebP by ops of the graph, all else by a call."""
    head = layout.head_of(data)

    def png():
        shape = layout.numbers(head, _PNG_SHAPE, 4, 'big')
        with tf.control_dependencies(check_size(shape, max_pixels)):
            image = _png(data, head)
        return exif.upright(image, exif.of_png(data))

    def plain_webp():
        with tf.control_dependencies(check_size(webp.shape(head), max_pixels)):
            return tf.io.decode_image(data, channels=3, expand_animations=False)

    def called():
        return tf.numpy_function(_other_by_call, [data, max_pixels], tf.uint8)

    image = tf.cond(layout.has(head, _PNG), png, lambda: tf.cond(
        webp.is_plain(head), plain_webp, called))
    return tf.ensure_shape(image, [None, None, 3])


def _other_by_call(data, max_pixels):
    try:
        with tf.device('CPU'):
            return _other(data, max_pixels).numpy()
    except tf.errors.InvalidArgumentError as error:  # TensorFlow turns a ValueError into it again
        raise ValueError(error.message) from None


@layout.as_call(layout.DATA_SPEC, tf.TensorSpec([], tf.int64))
def _other(data, max_pixels):
    """`decode` of everything but JPEG."""
    head, kind, shape = header(data)
    with tf.control_dependencies(check_size(shape, max_pixels)):
        data = tf.identity(data)
    return tf.switch_case(kind - 1, [
        lambda: exif.upright(_png(data, head), exif.of_png(data)),
        lambda: gif.decode(data, head),
        lambda: bmp.decode(data, head),
        lambda: exif.upright(webp.decode(data, head), exif.of_webp(data, head)),
        lambda: _any(data),  # its error names the formats that TensorFlow knows
    ])


def _kind(head):
    """int32 scalar: the index of the format in `FORMATS`, or their number for another format."""
    found = tf.stack([layout.has(head, b'\xff\xd8\xff'), layout.has(head, _PNG),
                      layout.has(head, b'GIF87a') | layout.has(head, b'GIF89a'),
                      layout.has(head, b'BM'), layout.has(head, b'RIFF') & layout.has(
                          head, b'WEBP', 8), tf.constant(True)])
    return tf.argmax(tf.cast(found, tf.int32), output_type=tf.int32)


def _any(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _png(data, head):
    """PNG; below 8 bits TensorFlow gives 2^bits − 1, not 255, for the alpha of an opaque image."""
    image = tf.io.decode_png(data, channels=4)
    bits = head[24]
    most = tf.bitwise.left_shift(tf.ones_like(bits), tf.minimum(bits, 7)) - 1
    filled = (bits < 8) & tf.reduce_all(tf.equal(image[..., 3], most))
    return tf.cond(filled, lambda: image[..., :3], lambda: pixels.on_white(image))
