"""BMP of 1, 4, 8, 16, 24 and 32 bits, with a palette or masks (Microsoft's BITMAPV5HEADER).

TensorFlow 2.20 reads palette indices as grey, and supports neither masks nor 1, 4 or 16 bits.
"""

import tensorflow as tf

from bsce_tf.data.images import layout, pixels

_BITS = (1, 4, 8, 16, 24, 32)
_PLAIN, _MASKS = 0, 3  # kinds of compression
# Red, green and blue in 16 bits: their masks, and the shifts of these.
_565 = ((0xF800, 0x07E0, 0x001F), (11, 5, 0))
_555 = ((0x7C00, 0x03E0, 0x001F), (10, 5, 0))


def shape(head):
    """int64 `[2]`: height and width; 0 where the header is damaged.

    Args:
      head: uint8 `[HEAD]`, the first bytes.
    """
    return tf.where(_is_old(head), layout.numbers(head, (20, 18), 2),
                    tf.abs(_signed(layout.numbers(head, (22, 18), 4))))


@layout.as_call(layout.DATA_SPEC, layout.HEAD_SPEC)
def decode(data, head):
    """uint8 `[height, width, 3]`; composited on white if there is an alpha mask."""
    height, width = tf.unstack(shape(head))
    bits = tf.where(_is_old(head), layout.number(head, 24, 2), layout.number(head, 28, 2))
    compression = tf.where(_is_old(head), tf.constant(_PLAIN, tf.int64),
                           layout.number(head, 30, 4))
    start = layout.number(head, 10, 4)
    stride = (width * bits + 31) // 32 * 4
    with tf.control_dependencies([
            layout.require(~tf.reduce_any(tf.equal(compression, [1, 2])),
                           'BMP that is run-length encoded (RLE); expected one that is not'),
            layout.require(tf.reduce_any(tf.equal(compression, [_PLAIN, _MASKS])),
                           'BMP of an unknown compression; expected none'),
            layout.require(tf.reduce_any(tf.equal(bits, _BITS)),
                           f'BMP of another depth than {_BITS} bits'),
            layout.require((height > 0) & (width > 0), 'BMP without pixels'),
            layout.require(start + stride * height <= layout.length(data),
                           'BMP that is truncated')]):
        raw = tf.strings.substr(data, start, stride * height)
    rows = tf.reshape(tf.io.decode_raw(raw, tf.uint8), [height, stride])
    topmost_last = _is_old(head) | (_signed(layout.numbers(head, (22,), 4))[0] > 0)
    rows = tf.cond(topmost_last, lambda: tf.reverse(rows, [0]), lambda: rows)
    place = tf.argmax(tf.cast(tf.equal(bits, _BITS), tf.int32))
    return tf.switch_case(tf.cast(place, tf.int32), [
        lambda: _palette(data, head, rows, width, 1),
        lambda: _palette(data, head, rows, width, 4),
        lambda: _palette(data, head, rows, width, 8),
        lambda: _sixteen(head, rows, width, compression),
        lambda: tf.reshape(rows[:, :3 * width], [height, width, 3])[..., ::-1],
        lambda: _thirty_two(head, tf.reshape(rows, [height, width, 4]), compression),
    ])


def _is_old(head):
    """Whether it has the short header of OS/2 1."""
    return tf.equal(layout.number(head, 14, 4), 12)


def _signed(values):
    return tf.where(values >= 2**31, values - 2**32, values)


def _palette(data, head, rows, width, bits):
    """Colours of palette indices of 1, 4 or 8 bits; the first pixel is in the highest bits."""
    entry = tf.where(_is_old(head), 3, 4)
    start = 14 + layout.number(head, 14, 4)
    start = tf.cast(tf.minimum(start, layout.length(data)), tf.int32)
    table = tf.io.decode_raw(tf.strings.substr(data, start, entry * 2**bits), tf.uint8,
                             fixed_length=4 * 2**bits)
    colours = tf.reshape(table[:entry * 2**bits], [2**bits, entry])[:, 2::-1]

    def coloured(band):
        shifts = tf.constant([*range(8 - bits, -1, -bits)], tf.uint8)
        parts = tf.bitwise.right_shift(band[..., None], shifts) & (2**bits - 1)
        indices = tf.reshape(parts, [tf.shape(band)[0], -1])[:, :width]
        return tf.gather(colours, tf.cast(indices, tf.int32))

    return pixels.in_bands(coloured, rows)


def _sixteen(head, rows, width, compression):
    """Pixels of 16 bits: red, green and blue in 5-6-5 or 5-5-5 bits."""
    masks = layout.numbers(head, (54, 58, 62), 4)
    is_565 = tf.equal(compression, _MASKS) & tf.reduce_all(tf.equal(masks, _565[0]))
    is_555 = tf.equal(compression, _PLAIN) | tf.reduce_all(tf.equal(masks, _555[0]))
    with tf.control_dependencies([layout.require(
            is_565 | is_555, 'BMP of 16 bits with masks other than 5-6-5 and 5-5-5')]):
        masks = tf.cast(tf.where(is_565, *(tf.constant(kind[0]) for kind in (_565, _555))),
                        tf.uint16)
        shifts = tf.cast(tf.where(is_565, *(tf.constant(kind[1]) for kind in (_565, _555))),
                         tf.uint16)

    def coloured(band):
        # 6 bits times 255 fit into 16.
        pairs = tf.reshape(tf.cast(band, tf.uint16), [tf.shape(band)[0], -1, 2])[:, :width]
        values = pairs[..., :1] + 256 * pairs[..., 1:]
        parts = tf.bitwise.right_shift(values & masks, shifts)
        return tf.cast(255 * parts // tf.bitwise.right_shift(masks, shifts), tf.uint8)

    return pixels.in_bands(coloured, rows)


def _thirty_two(head, image, compression):
    """Pixels of 32 bits: blue, green, red, unused; or as masks say, with alpha."""
    plain = tf.constant([0xFF0000, 0xFF00, 0xFF, 0], tf.int64)
    masks = layout.numbers(head, (54, 58, 62, 66), 4)
    has_alpha = layout.number(head, 14, 4) >= 56  # shorter headers have no mask of it
    masks = tf.concat([masks[:3], tf.where(has_alpha, masks[3:], 0)], 0)
    masks = tf.where(tf.equal(compression, _MASKS), masks, plain)
    of_bytes = tf.equal(masks[:, None], tf.constant([0xFF << 8 * i for i in range(4)], tf.int64))
    whole = tf.reduce_any(of_bytes, 1)
    with tf.control_dependencies([layout.require(
            tf.reduce_all(whole[:3]) & (whole[3] | tf.equal(masks[3], 0)),
            'BMP of 32 bits with masks that are not whole bytes')]):
        order = tf.argmax(tf.cast(of_bytes, tf.int32), 1)
    return tf.cond(whole[3], lambda: pixels.on_white(tf.gather(image, order, axis=2)),
                   lambda: tf.gather(image, order[:3], axis=2))
