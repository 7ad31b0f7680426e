"""Where things lie in an encoded image: numbers, chunks and blocks of a string tensor.

TensorFlow ops only, since a SavedModel runs without Python. Every search ends after a fixed number
of steps, whatever the bytes say.
"""

import tensorflow as tf

HEAD = 70  # first bytes of an image that are looked at as its head
DATA_SPEC = tf.TensorSpec([], tf.string)
HEAD_SPEC = tf.TensorSpec([HEAD], tf.uint8)
_MOST_CHUNKS = 1000  # that a search looks at; photographs have a few dozen
_WINDOW = 16_384  # bytes of a GIF's blocks that are followed at once
_HOPS = 13  # doublings: 2 ** 13 blocks of at least 2 bytes fill a window


def as_call(*specs):
    """Decorator: a function of tensors of these specs is built once a process, and stays a call.

    Else every graph that decodes would hold the ops of all formats: they take time to build, and
    those of an untaken branch to pass over.
    """
    return tf.function(input_signature=specs, autograph=False,
                       experimental_attributes={'_noinline': True})


def head_of(data):
    """uint8 `[HEAD]`: the first bytes, filled up with zeros."""
    return at(data, 0, HEAD)


def at(data, place, length):
    """uint8 `[length]` from `place` on (int scalar); zeros where the data end before."""
    start = tf.minimum(place, tf.strings.length(data))
    return tf.io.decode_raw(tf.strings.substr(data, start, length), tf.uint8, fixed_length=length)


def numbers(head, places, width, order='little'):
    """int64 `[len(places)]`: unsigned numbers of `width` bytes at Python `places` of a head."""
    factors = [256 ** (i if order == 'little' else width - 1 - i) for i in range(width)]
    parts = tf.gather(head, [list(range(place, place + width)) for place in places])
    return tf.reduce_sum(tf.cast(parts, tf.int64) * tf.constant(factors, tf.int64), 1)


def number(head, place, width, order='little'):
    """int64 scalar: as `numbers`, of one place."""
    return numbers(head, (place,), width, order)[0]


def has(head, text, place=0):
    """Whether a head has the bytes `text` at a Python `place`."""
    return tf.reduce_all(tf.equal(head[place:place + len(text)], list(text)))


def length(data):
    """int64 scalar: bytes of a string."""
    return tf.cast(tf.strings.length(data), tf.int64)


def one_byte(value):
    """String of the one byte `value`, int 0 … 255."""
    return tf.gather(tf.constant([bytes([i]) for i in range(256)]), value)


def require(condition, text):
    """An op that fails with `text`, one line, where a condition does not hold."""
    return tf.debugging.Assert(condition, [text], summarize=1)


def find_chunk(data, start, names, *, size_at, order, extra, even=False):
    """Place of the first chunk of some names in a file that is a row of chunks, as PNG and RIFF.

    Args:
      data: scalar string tensor.
      start: of the first chunk, int.
      names: list of bytes, four each, as they stand in a chunk.
      size_at: where a chunk has its size (4 bytes); its name is in the other half of 8 bytes.
      order: of the size's bytes, 'little' or 'big'.
      extra: bytes of a chunk that its size does not count.
      even: whether chunks are filled up to an even size.

    Returns:
      int32 scalar, the place of the chunk's first byte; −1 where there is none.
    """
    end = length(data)
    wanted = tf.constant([list(name) for name in names], tf.uint8)

    def goes_on(place, found):
        return (found < 0) & (place + 8 <= end)

    def step(place, found):
        del found  # none yet
        head = at(data, tf.cast(place, tf.int32), 8)
        size = number(head, size_at, 4, order)
        name = head[4 - size_at:8 - size_at]
        hit = tf.reduce_any(tf.reduce_all(tf.equal(wanted, name), 1))
        following = place + size + extra + (size % 2 if even else 0)
        return tf.minimum(following, end), tf.where(hit, place, -1)

    first = tf.constant(start, tf.int64), tf.constant(-1, tf.int64)
    _, found = tf.while_loop(goes_on, step, first, maximum_iterations=_MOST_CHUNKS)
    return tf.cast(found, tf.int32)


def blocks_end(data, start):
    """Place after a GIF's data blocks, each of which begins with its length; the last is empty.

    Following them one by one takes time for each. So all places of a window are made to point at
    the block after the one that would begin there, and then as often at what that points at as it
    takes to get through.

    Args:
      data: scalar string tensor.
      start: int32 scalar, place of the first block.

    Returns:
      int32 scalar, beyond the end of the data where they are cut off.
    """
    places = tf.range(_WINDOW + 256)
    end = tf.strings.length(data)

    def goes_on(place, ended):
        return ~ended & (place <= end)

    def step(place, _):
        sizes = tf.pad(tf.cast(at(data, place, _WINDOW), tf.int32), [[0, 256]])
        following = tf.where(sizes > 0, places + sizes + 1, places)
        for _ in range(_HOPS):
            following = tf.gather(following, following)
        last = following[0]
        ended = last < _WINDOW
        return place + last + tf.cast(ended, tf.int32), ended

    return tf.while_loop(goes_on, step, (start, tf.constant(False)))[0]
