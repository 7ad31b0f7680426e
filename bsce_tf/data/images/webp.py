"""WebP, still or animated (WebP Container Specification, Google)."""

import tensorflow as tf

from bsce_tf.data.images import layout, pixels

_ALPHA, _ANIMATION = 0x10, 0x02  # flags of the chunk VP8X
_IMAGE = [b'VP8 ', b'VP8L', b'ALPH']  # chunks that an image may begin with


def shape(head):
    """int64 `[2]`: height and width of the variants 'VP8 ' (lossy), 'VP8L' (lossless) and 'VP8X'.

    Args:
      head: uint8 `[HEAD]`, the first bytes.
    """
    lossy = layout.numbers(head, (28, 26), 2) % 0x4000
    bits = layout.number(head, 21, 4)
    lossless = tf.stack([bits // 0x4000, bits]) % 0x4000 + 1
    extended = layout.numbers(head, (27, 24), 3) + 1
    return tf.where(_is_extended(head), extended,
                    tf.where(tf.equal(head[15], ord('L')), lossless, lossy))


def is_plain(head):
    """Whether it is lossy and nothing else: no alpha, no animation, no Exif."""
    return layout.has(head, b'RIFF') & layout.has(head, b'WEBPVP8 ', 8)


def decode(data, head):
    """uint8 `[height, width, 3]`, composited on white; of an animation, only the first frame."""
    animated = _is_extended(head) & (head[20] & _ANIMATION > 0)
    return tf.cond(animated, lambda: _first_frame(data, head), lambda: _still(data, 12))


def _is_extended(head):
    return tf.equal(head[15], ord('X'))


def _find(data, start, names):
    return layout.find_chunk(data, start, names, size_at=4, order='little', extra=8, even=True)


def _still(data, start):
    """Decodes a file of one image. TensorFlow 2.20 needs its number of channels; 0 crashes."""
    flags = layout.at(data, start, 9)
    extended = layout.has(flags, b'VP8X')
    image = layout.at(data, _find(data, start, _IMAGE), 13)
    alpha = tf.where(layout.has(image, b'VP8L'), image[12] & _ALPHA > 0,
                     layout.has(image, b'ALPH') | extended & (flags[8] & _ALPHA > 0))
    return tf.cond(
        alpha,
        lambda: pixels.on_white(tf.io.decode_image(data, channels=4, expand_animations=False)),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False))


@layout.as_call(layout.DATA_SPEC, layout.HEAD_SPEC)
def _first_frame(data, head):
    """Builds a file of the first frame alone, decodes it and puts it on the canvas."""
    frame = _find(data, 12, [b'ANMF'])
    fields = layout.at(data, frame, 24)
    size = layout.number(fields, 4, 4)
    whole = (frame > 0) & (tf.cast(frame, tf.int64) + 8 + size
                           <= layout.length(data)) & (size > 16)
    corner = layout.numbers(fields, (11, 8), 3) * 2
    after = shape(head) - corner - (layout.numbers(fields, (17, 14), 3) + 1)
    with tf.control_dependencies([
            layout.require(whole, 'WebP that is truncated or damaged'),
            layout.require(tf.reduce_all(after >= 0), 'WebP whose first frame leaves its canvas')]):
        content = tf.strings.substr(data, frame + 24, tf.cast(size, tf.int32) - 16)
    first = layout.at(content, 0, 13)
    alpha = layout.has(first, b'ALPH') | (layout.has(first, b'VP8L') & (first[12] & _ALPHA > 0))
    chunks = tf.strings.join([
        b'WEBPVP8X\x0a\0\0\0', tf.where(alpha, layout.one_byte(_ALPHA), layout.one_byte(0)),
        b'\0\0\0', tf.strings.substr(data, frame + 14, 6), content])
    length = tf.strings.length(chunks)
    single = tf.strings.join([b'RIFF', *(
        layout.one_byte(tf.bitwise.right_shift(length, 8 * i) & 255) for i in range(4)), chunks])
    image = _still(single, 12)
    around = tf.concat([tf.stack([corner, after], 1), tf.zeros([1, 2], tf.int64)], 0)
    return tf.pad(image, around, constant_values=255)
