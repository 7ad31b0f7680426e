"""Reads numbers, chunks and blocks from an encoded image in a string tensor.

TensorFlow ops only, since a SavedModel runs without Python. Every search ends after a number of
steps in proportion to the bytes, whatever they are.
"""

import tensorflow as tf

HEAD = 70  # bytes at the start of an image that are read as its head
DATA_SPEC = tf.TensorSpec([], tf.string)
HEAD_SPEC = tf.TensorSpec([HEAD], tf.uint8)
VIEW = range(256)  # bytes of chunks that are searched at once
_MOST_VIEWS = 20_000  # that a search reads, in some 2 s; only a hostile file has more
_VIEW_HOPS = 8  # doublings: 2 ** 8 parts of at least one byte fill a view
_WINDOW = 16_384  # bytes of a GIF's blocks that are searched at once
_HOPS = 13  # doublings: 2 ** 13 blocks of at least 2 bytes fill a window


def as_call(*specs):
    """Decorator: traces a function of these specs once per process and never inlines it.

    Otherwise every graph that decodes would contain the ops of all formats. They take time to
    build, and to skip in branches that are not taken.
    """
    return tf.function(input_signature=specs, autograph=False,
                       experimental_attributes={'_noinline': True})


def head_of(data):
    """uint8 `[HEAD]`: the first bytes, padded with zeros."""
    return at(data, 0, HEAD)


def at(data, place, length):
    """uint8 `[length]` from the offset `place` (int scalar); padded with zeros."""
    start = tf.minimum(place, tf.strings.length(data))
    return tf.io.decode_raw(tf.strings.substr(data, start, length), tf.uint8, fixed_length=length)


def numbers(head, places, width, order='little'):
    """int64 `[len(places)]`: unsigned numbers of `width` bytes at `places` (ints) of a head."""
    factors = [256 ** (i if order == 'little' else width - 1 - i) for i in range(width)]
    parts = tf.gather(head, [list(range(place, place + width)) for place in places])
    return tf.reduce_sum(tf.cast(parts, tf.int64) * tf.constant(factors, tf.int64), 1)


def number(head, place, width, order='little'):
    """int64 scalar: the number at one place; see `numbers`."""
    return numbers(head, (place,), width, order)[0]


def has(head, text, place=0):
    """Whether a head has the bytes `text` at `place` (int)."""
    return tf.reduce_all(tf.equal(head[place:place + len(text)], list(text)))


def has_everywhere(view, names):
    """bool `[256]`: whether one of some names of equal length begins at this byte of a view."""
    wanted = tf.constant([list(name) for name in names], tf.uint8)
    found = tf.gather(view, [list(range(i, i + wanted.shape[1])) for i in VIEW])
    return tf.reduce_any(tf.reduce_all(tf.equal(wanted, found[:, None]), 2), 1)


def length(data):
    """int64 scalar: bytes of a string."""
    return tf.cast(tf.strings.length(data), tf.int64)


def one_byte(value):
    """String of the one byte `value`, int 0 … 255."""
    return tf.gather(tf.constant([bytes([i]) for i in range(256)]), value)


def require(condition, text):
    """An op that fails with `text`, one line, unless a condition holds."""
    return tf.debugging.Assert(condition, [text], summarize=1)


def find_chunk(data, start, names, *, size_at, order, extra, even=False):
    """Finds the first chunk that has one of some names, in a file of chunks such as PNG or RIFF.

    Args:
      data: scalar string tensor.
      start: offset of the first chunk, int.
      names: list of names, four bytes each.
      size_at: offset of the size (4 bytes) in a chunk, 0 or 4; the name is at the other.
      order: byte order of the size, 'little' or 'big'.
      extra: bytes of a chunk that its size does not count.
      even: whether chunks are padded to an even size.

    Returns:
      int32 scalar, offset of the chunk; −1 where there is none.
    """
    def parts(view):
        size = numbers(view[size_at:], VIEW, 4, order)
        return has_everywhere(view[4 - size_at:], names), size + extra + (size % 2 if even else 0)

    return find_part(data, start, 8, parts)


def find_part(data, start, head, parts):
    """Finds a part of a file whose parts say how long they are, each before the next.

    Reading them one by one takes 50 µs each, and a hostile file may have a million. So the length
    is computed for each byte of a view as if a part began there, and all are followed at once, see
    `blocks_end`.

    Args:
      data: scalar string tensor.
      start: offset of the first part, int.
      head: bytes that a part begins with, int up to 16.
      parts: function of uint8 `[256 + 16]` → (bool `[256]`, whether a part that begins at this byte
        is wanted; int64 `[256]`, its bytes, at least 1).

    Returns:
      int32 scalar, offset of the first part that is wanted; −1 where there is none in the first
      `_MOST_VIEWS` views.
    """
    end = length(data)

    def goes_on(place, found):
        return (found < 0) & (place + head <= end)

    def step(place, found):
        del found  # always −1 here
        hit, sizes = parts(at(data, tf.cast(place, tf.int32), len(VIEW) + 16))
        last = _last_of_view(hit, sizes)
        return (tf.minimum(place + last + sizes[last], end), tf.where(hit[last], place + last, -1))

    first = tf.constant(start, tf.int64), tf.constant(-1, tf.int64)
    _, found = tf.while_loop(goes_on, step, first, maximum_iterations=_MOST_VIEWS)
    return tf.cast(found, tf.int32)


@as_call(tf.TensorSpec([len(VIEW)], tf.bool), tf.TensorSpec([len(VIEW)], tf.int64))
def _last_of_view(hit, sizes):
    """Offset, int64 scalar, of the first part that is wanted, or else of the last in a view."""
    places = tf.range(len(VIEW), dtype=tf.int64)
    following = tf.where(hit | (places + sizes >= len(VIEW)), places, places + sizes)
    for _ in range(_VIEW_HOPS):
        following = tf.gather(following, following)
    return following[0]


def blocks_end(data, start):
    """Offset after a GIF's data blocks, each of which begins with its length; the last is empty.

    Following them one by one is slow. So each byte of a window gets a pointer to where the next
    block would be if a block began at this byte. Then all pointers are followed at once, and again
    from there (pointer doubling), until they lead out of the window.

    Args:
      data: scalar string tensor.
      start: int32 scalar, offset of the first block.

    Returns:
      int32 scalar, beyond the end of the data if these are truncated.
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
