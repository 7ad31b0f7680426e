"""The orientation that Exif asks for (Exif 2.32, section 4.6.4), in JPEG, PNG and WebP."""

import tensorflow as tf

from bsce_tf.data.images import layout

_TAG = 0x0112
_MOST_ENTRIES = 200  # of the first directory; cameras write some dozen


def of_jpeg(data):
    """int32 scalar 1 … 8: the orientation of a JPEG; 1, upright, where there is none.

    Walks all segments before the frame, since others may come first: XMP, a colour profile,
    Photoshop's.
    """
    # Most JPEGs have no Exif, and this search is faster than the walk.
    return tf.cond(_contains(data, r'Exif\x00\x00'), lambda: _of_segments(data), lambda: 1)


def of_png(data):
    """int32 scalar 1 … 8: as `of_jpeg`, from the chunk eXIf, wherever it is."""
    def found():
        return layout.find_chunk(data, 8, [b'eXIf'], size_at=0, order='big', extra=12)

    return tf.cond(_contains(data, 'eXIf'), lambda: _of_chunk(data, found()), lambda: 1)


def of_webp(data, head):
    """int32 scalar 1 … 8: as `of_jpeg`, from the chunk EXIF, if a flag in the head announces it."""
    def found():
        return layout.find_chunk(data, 12, [b'EXIF'], size_at=4, order='little', extra=8,
                                 even=True)

    announced = tf.equal(head[15], ord('X')) & (head[20] & 0x08 > 0)
    return tf.cond(announced, lambda: _of_chunk(data, found()), lambda: 1)


def upright(image, turn):
    """Turns `[height, width, channels]` upright; `turn` is its orientation, int32 scalar 1 … 8."""
    def turned():
        turns = tf.cond(turn >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        axes = [tf.reduce_any(tf.equal(turn, turns)) for turns in ([3, 4, 7, 8], [2, 3, 6, 7])]
        return tf.raw_ops.Reverse(tensor=turns, dims=tf.stack([*axes, False]))

    return tf.cond(turn > 1, turned, lambda: image)


def _contains(data, pattern):
    """Whether a pattern of at least one byte is somewhere in the data."""
    without = tf.strings.regex_replace(data, pattern, '', replace_global=False)
    return tf.strings.length(without) < tf.strings.length(data)


@layout.as_call(layout.DATA_SPEC)
def _of_segments(data):
    """The orientation of a JPEG, from its segments."""
    def parts(view):
        code = layout.numbers(view, layout.VIEW, 2, 'big') - 0xFF00
        size = layout.numbers(view[2:], layout.VIEW, 2, 'big')
        stray = (code < 0x02) | tf.equal(code, 0xFF)  # fill bytes, or not of a segment
        # Frames have the codes 0xC0 … 0xCF but for 0xC4, 0xC8 and 0xCC, which are tables.
        frame = (code >= 0xC0) & (code <= 0xCF) & (code % 4 > 0) | tf.equal(code, 0xC0)
        named = layout.has_everywhere(view[4:], [b'Exif\0\0'])
        ended = tf.equal(code, 0xE1) & named | frame | tf.equal(code, 0xD9) | tf.equal(code, 0xDA)
        return ended, tf.where(stray, tf.ones_like(size), 2 + size)

    place = layout.find_part(data, 2, 4, parts)
    found = (place >= 0) & layout.has(layout.at(data, place, 2), b'\xff\xe1')
    return tf.cond(found, lambda: _of_tiff(data, place + 10), lambda: 1)


@layout.as_call(layout.DATA_SPEC, tf.TensorSpec([], tf.int32))
def _of_chunk(data, place):
    """The orientation in the chunk at `place`, of PNG or WebP; 1 where that is negative."""
    # Some programs also write the prefix that Exif has in a JPEG.
    prefix = tf.where(layout.has(layout.at(data, place + 8, 6), b'Exif\0\0'), 6, 0)
    return tf.cond(place >= 0, lambda: _of_tiff(data, place + 8 + prefix), lambda: 1)


def _of_tiff(data, start):
    """The orientation in the TIFF structure that begins at `start`: Exif's own bytes."""
    head = layout.at(data, start, 8)
    little = layout.has(head, b'II*\0')
    known = little | layout.has(head, b'MM\0*')

    def of_order(value, order):
        return tf.reduce_sum(tf.cast(value, tf.int64) * tf.constant(order, tf.int64), -1)

    def unsigned(parts):
        """Numbers of the last axis, 2 or 4 bytes, in the file's order."""
        factors = [256 ** i for i in range(parts.shape[-1])]
        return tf.where(little, of_order(parts, factors), of_order(parts, factors[::-1]))

    place = tf.minimum(tf.cast(start, tf.int64) + unsigned(head[4:]), layout.length(data))
    table = layout.at(data, tf.cast(place, tf.int32), 2 + 12 * _MOST_ENTRIES)
    count = unsigned(table[:2])
    entries = tf.reshape(table[2:], [_MOST_ENTRIES, 12])
    # A short fills the first half of the four bytes of the value; some programs write a long.
    short = unsigned(entries[:, 8:10])
    kind = unsigned(entries[:, 2:4])
    value = tf.where(tf.equal(kind, 3), short, unsigned(entries[:, 8:12]))
    fits = (tf.equal(unsigned(entries[:, :2]), _TAG) & (tf.equal(kind, 3) | tf.equal(kind, 4))
            & tf.equal(unsigned(entries[:, 4:8]), 1) & (value >= 1) & (value <= 8)
            & (tf.range(_MOST_ENTRIES, dtype=tf.int64) < count) & known)
    return tf.cast(tf.maximum(tf.reduce_max(tf.where(fits, value, 0)), 1), tf.int32)
