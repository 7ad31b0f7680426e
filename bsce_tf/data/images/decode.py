"""Encoded images → pixels, as TensorFlow ops only, so that training and serving share them."""

import tensorflow as tf

_HEAD = 32  # bytes that tell the format and, except for JPEG, the size

# Exif follows the start of a JPEG, and its first directory is short. `\C` is any one byte; the
# orientation (tag 0x0112, a short) is looked for among the 12-byte entries of the first directory
# only, as the second belongs to the thumbnail.
_EXIF_BYTES = 1024
_EXIF_LITTLE = (r'\C*?Exif\x00\x00II\*\x00\x08\x00\x00\x00\C\C(?:\C{12}){0,40}?'
                r'\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00\C*')
_EXIF_BIG = (r'\C*?Exif\x00\x00MM\x00\*\x00\x00\x00\x08\C\C(?:\C{12}){0,40}?'
             r'\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])\C*')


def decode(data, max_pixels=0):
    """Decodes a JPEG, PNG, GIF, BMP or WebP image.

    JPEG: bit for bit what Pillow gives, also grey and CMYK (Adobe's inverted kind and the plain
    one), turned upright as its Exif orientation asks (Exif 2.32, section 4.6.4; Exif in other
    formats is not read). PNG: 16 bits a channel are cut to 8. Transparent PNG and WebP are laid on
    white, as product pictures expect. GIF and animated WebP: the first frame; TensorFlow 2.20
    cannot read animated WebP without transparency.

    Args:
      data: scalar string tensor, the whole file.
      max_pixels: the most pixels (width × height) to decode; 0 for no limit. It is compared with
        the header, before anything is decoded.

    Returns:
      uint8 `[height, width, 3]`.

    Raises:
      tf.errors.InvalidArgumentError: when run on bytes that are no such image, are truncated, or
        hold more than `max_pixels`.
    """
    head = _head(data)
    kind = _kind(head)
    with tf.control_dependencies(_limit(data, head, kind, max_pixels)):
        data = tf.identity(data)
    image = tf.switch_case(kind, [
        lambda: upright(tf.io.decode_jpeg(data, channels=3, dct_method='INTEGER_ACCURATE'),
                        orientation(data)),
        lambda: _png(data, head),
        lambda: _any(data),
        lambda: _bmp(data, head),
        lambda: _webp(data, head),
        lambda: _any(data),  # its error tells which formats there are
    ])
    image.set_shape([None, None, 3])
    return image


def orientation(data):
    """int32 scalar 1 … 8: the Exif orientation of a JPEG; 1, upright, where none is found."""
    head = tf.strings.substr(data, 0, _EXIF_BYTES)
    found = tf.strings.regex_replace(head, _EXIF_LITTLE, r'\1')
    found = tf.strings.regex_replace(found, _EXIF_BIG, r'\1')
    value = tf.io.decode_raw(found, tf.uint8, fixed_length=1)[0]
    return tf.where(tf.equal(tf.strings.length(found), 1), tf.cast(value, tf.int32), 1)


def upright(image, turn):
    """Turns `[height, width, channels]` as Exif orientation `turn` (int32 scalar 1 … 8) asks."""
    transposed = turn >= 5
    image = tf.cond(transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    upside_down = tf.reduce_any(tf.equal(turn, [3, 4, 7, 8]))
    mirrored = tf.reduce_any(tf.equal(turn, [2, 3, 6, 7]))
    image = tf.cond(upside_down, lambda: tf.reverse(image, [0]), lambda: image)
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def is_plain_jpeg(data):
    """Whether `data` is a JPEG that is upright and ends as a whole one does, so that a part of it
    may be decoded without looking at the rest."""
    length = tf.strings.length(data)
    last = tf.strings.substr(data, tf.maximum(length - 2, 0), 2)
    start = tf.strings.substr(data, 0, 3)
    return (tf.equal(start, b'\xff\xd8\xff') & tf.equal(last, b'\xff\xd9')
            & tf.equal(orientation(data), 1))


def jpeg_window(data, window, ratio):
    """Decodes a part of a JPEG, reduced in the frequency domain: faster than the whole and exact.

    The values differ from `decode`'s by about 1 of 255 on average: the inverse transform is the
    faster one, and colour, which most JPEGs hold at half the resolution, is repeated instead of
    interpolated, which hardly shows once the image is shrunk.

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
    """Ops that fail where height × width of `shape` exceed `max_pixels`; none for 0."""
    if not max_pixels:
        return []
    pixels = tf.cast(shape[0], tf.int64) * tf.cast(shape[1], tf.int64)
    return [tf.debugging.Assert(pixels <= max_pixels, ['too many pixels:', pixels])]


def _limit(data, head, kind, max_pixels):
    if not max_pixels:
        return []
    shape = tf.switch_case(kind, [
        lambda: tf.io.extract_jpeg_shape(data)[:2],
        lambda: _numbers(head, (16, 20), 4, 'big'),
        lambda: _numbers(head, (8, 6), 2),
        lambda: tf.abs(_numbers(head, (22, 18), 4)),  # negative height: rows from the top
        lambda: _webp_shape(head),
        lambda: tf.zeros([2], tf.int32),
    ])
    return check_size(shape, max_pixels)


def _head(data):
    """uint8 `[32]`: the first bytes, filled up with zeros."""
    return tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD), tf.uint8, fixed_length=_HEAD)


def _kind(head):
    """int32 scalar: the place of the format among the branches of `decode`."""
    def has(text, at=0):
        return tf.reduce_all(tf.equal(head[at:at + len(text)], list(text)))

    found = tf.stack([has(b'\xff\xd8\xff'), has(b'\x89PNG'), has(b'GIF8'), has(b'BM'),
                      has(b'RIFF') & has(b'WEBP', 8), tf.constant(True)])
    return tf.argmax(tf.cast(found, tf.int32), output_type=tf.int32)


def _numbers(head, places, width, order='little'):
    """int32 numbers of `width` bytes at the given places of the head."""
    factors = [256 ** (i if order == 'little' else width - 1 - i) for i in range(width)]
    parts = [tf.cast(head[at:at + width], tf.int32) * factors for at in places]
    return tf.stack([tf.reduce_sum(part) for part in parts])


def _webp_shape(head):
    """Height and width of the three WebP variants: lossy 'VP8 ', lossless 'VP8L', 'VP8X'."""
    lossy = _numbers(head, (28, 26), 2) & 0x3FFF
    bits = _numbers(head, (21,), 4)[0]
    lossless = tf.stack([(bits // 0x4000) & 0x3FFF, bits & 0x3FFF]) + 1
    extended = _numbers(head, (27, 24), 3) + 1
    variant = head[15]
    return tf.where(tf.equal(variant, ord('X')), extended,
                    tf.where(tf.equal(variant, ord('L')), lossless, lossy))


def _any(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _png(data, head):
    """PNG; below 8 bits TensorFlow gives 2^bits − 1, not 255, for the alpha of an opaque image."""
    image = tf.io.decode_png(data, channels=4)
    bits = tf.cast(head[24], tf.int32)
    alpha = tf.cast(image[..., 3], tf.int32)
    filled = (bits < 8) & tf.reduce_all(tf.equal(alpha, tf.bitwise.left_shift(1, bits) - 1))
    return tf.cond(filled, lambda: image[..., :3], lambda: _on_white(image))


def _bmp(data, head):
    """BMP; TensorFlow takes the indices into a palette for grey, so the palette is applied here."""
    def with_palette():
        start = 14 + _numbers(head, (14,), 4)[0]
        table = tf.strings.substr(data, start, _numbers(head, (10,), 4)[0] - start)
        colours = tf.reshape(tf.io.decode_raw(table, tf.uint8), [-1, 4])[:, 2::-1]
        return tf.gather(colours, tf.cast(_any(data)[..., 0], tf.int32))

    return tf.cond(tf.equal(head[28], 8), with_palette, lambda: _any(data))


def _webp(data, head):
    """WebP; the number of channels must be the file's own, and 0 (as in the file) crashes."""
    flags = tf.where(tf.equal(head[15], ord('X')), head[20],
                     tf.where(tf.equal(head[15], ord('L')), head[24], 0))
    return tf.cond(
        tf.equal(flags & 0x10, 0),
        lambda: _any(data),
        lambda: _on_white(tf.io.decode_image(data, channels=4, expand_animations=False)))


def _on_white(image):
    """RGBA → RGB, laid on white."""
    def blended():
        colour = tf.cast(image[..., :3], tf.int32)
        alpha = tf.cast(image[..., 3:], tf.int32)
        return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

    opaque = tf.equal(tf.reduce_min(image[..., 3]), 255)
    return tf.cond(opaque, lambda: image[..., :3], blended)
