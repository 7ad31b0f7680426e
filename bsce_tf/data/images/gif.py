"""The first frame of a GIF (GIF89a specification, CompuServe 1990), on its canvas.

TensorFlow decodes all frames, ignores transparency and returns the first frame without the canvas
around it. So this module builds a GIF of that frame alone, with white for the transparent colour,
and TensorFlow decodes that.
"""

import tensorflow as tf

from bsce_tf.data.images import layout

_GREY = bytes(i for i in range(256) for _ in range(3))  # Pillow's palette for a GIF without one
_MOST_EXTENSIONS = 100  # before the first frame


@layout.as_call(layout.DATA_SPEC, layout.HEAD_SPEC)
def shape(data, head):
    """int64 `[2]`: height and width of the canvas, extended to hold the first frame.

    Args:
      data: scalar string tensor.
      head: its first bytes, uint8 `[HEAD]`.
    """
    descriptor = layout.at(data, _first_frame(data, head)[0], 10)
    corner, size = (layout.numbers(descriptor, places, 2) for places in ((3, 1), (7, 5)))
    return tf.maximum(layout.numbers(head, (8, 6), 2), corner + size)


@layout.as_call(layout.DATA_SPEC, layout.HEAD_SPEC)
def decode(data, head):
    """uint8 `[height, width, 3]`: the first frame on a white canvas. Ignores what follows it."""
    frame, transparent = _first_frame(data, head)
    descriptor = layout.at(data, frame, 10)
    corner, size = (layout.numbers(descriptor, places, 2) for places in ((3, 1), (7, 5)))
    flags = descriptor[9]
    own = flags & 0x80 > 0
    start = frame + 10 + _table_size(flags)  # of the pixels
    end = layout.blocks_end(data, start + 1)
    following = layout.at(data, end, 1)[0]
    whole = tf.equal(descriptor[0], 0x2C) & tf.reduce_any(tf.equal(following, [0x2C, 0x21, 0x3B]))
    with tf.control_dependencies([layout.require(whole, 'GIF that is truncated or damaged'),
                                  layout.require(tf.reduce_all(size > 0), 'GIF without pixels')]):
        data = tf.identity(data)
    table_flags = tf.where(own, flags, head[10])
    table = tf.strings.substr(data, tf.where(own, frame + 10, 13), _table_size(table_flags))
    colours = tf.strings.length(table)
    table, table_flags = tf.cond(colours > 0, lambda: (table, table_flags & 7),
                                 lambda: (tf.constant(_GREY), tf.constant(7, tf.uint8)))
    clear = tf.where((transparent >= 0) & (3 * transparent < colours), 3 * transparent, -3)
    table = tf.cond(clear >= 0, lambda: tf.strings.join([
        tf.strings.substr(table, 0, clear), b'\xff\xff\xff',
        tf.strings.substr(table, clear + 3, colours)]), lambda: table)
    single = tf.strings.join([
        b'GIF89a', tf.strings.substr(data, frame + 5, 4), _byte(table_flags | 0xF0), b'\0\0', table,
        b'\x2c\0\0\0\0', tf.strings.substr(data, frame + 5, 4), _byte(flags & 0x40),
        tf.strings.substr(data, start, end - start), b'\x3b'])
    image = tf.io.decode_gif(single)[0]
    around = tf.stack([corner, shape(data, head) - corner - size], 1)
    return tf.pad(image, tf.concat([around, [[0, 0]]], 0), constant_values=255)


@layout.as_call(layout.DATA_SPEC, layout.HEAD_SPEC)
def _first_frame(data, head):
    """(offset of the first frame's descriptor, int32; transparent colour, int32, −1 for none).

    Without a frame, the offset is that of something else.
    """
    def goes_on(place, _):
        return tf.equal(layout.at(data, place, 1)[0], 0x21)

    def step(place, transparent):
        block = layout.at(data, place, 7)
        control = layout.has(block, b'\x21\xf9\x04')
        colour = tf.where(block[3] & 1 > 0, tf.cast(block[6], tf.int32), -1)
        return layout.blocks_end(data, place + 2), tf.where(control, colour, transparent)

    return tf.while_loop(goes_on, step, (13 + _table_size(head[10]), tf.constant(-1)),
                         maximum_iterations=_MOST_EXTENSIONS)


def _table_size(flags):
    """Bytes of the colour table that a byte of flags announces, int32."""
    size = tf.bitwise.left_shift(6, tf.cast(flags & 7, tf.int32))
    return tf.where(flags & 0x80 > 0, size, 0)


def _byte(value):
    return layout.one_byte(tf.cast(value, tf.int32))
