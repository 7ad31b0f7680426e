"""Many short texts, such as paths, in as few bytes as they have."""

import numpy as np

_BLOCK = 1 << 14  # texts that are worked on as one NumPy array, as wide as the longest of them
_FACTOR = 0x9E3779B97F4A7C15  # odd, its bits without a pattern: 2⁶⁴ / the golden ratio


class Texts:
    """A sequence of N texts as bytes; a NumPy array of them would be as wide as the longest.

    It has N · 8 bytes beside the texts. It cannot be changed. `texts[3]` is one of them, as bytes;
    `texts[2:5]` and `texts[indices]` are `Texts`, also of a mask. NumPy takes it as a bytes array.

    Args:
      data: uint8 array, the texts one after another; it may be memory-mapped.
      ends: int64 `[N]`, where each ends; it begins where the one before ends.
    """

    def __init__(self, data, ends):
        self.data, self.ends = data, ends

    def __len__(self):
        return len(self.ends)

    def __iter__(self):
        for begin in range(0, len(self), _BLOCK):
            yield from self._part(begin, begin + _BLOCK).tolist()

    def __getitem__(self, index):
        if not isinstance(index, slice) and np.ndim(index) == 0:
            index = range(len(self))[index]
            first = self.ends[index - 1] if index else 0
            return self.data[first:self.ends[index]].tobytes()
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        index = np.asarray(index)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = np.where(index < 0, index + len(self), index).astype(np.int64)
        first = np.where(index > 0, self.ends[index - 1], 0) if len(index) else index
        lengths = self.ends[index] - first
        ends = np.cumsum(lengths)
        data = np.empty(ends[-1] if len(ends) else 0, np.uint8)
        for begin in range(0, len(index), _BLOCK):  # else places would take 8 bytes a character
            part = slice(begin, begin + _BLOCK)
            start = ends[begin] - lengths[begin]
            size = int(lengths[part].sum())
            places = np.repeat(first[part] - (ends[part] - lengths[part] - start), lengths[part])
            data[start:start + size] = self.data[places + np.arange(size)]
        return Texts(data, ends)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.tolist(), dtype or 'S') if len(self) else np.zeros(0, dtype or 'S1')

    @property
    def nbytes(self):
        """What it takes in memory, in bytes."""
        return self.data.nbytes + self.ends.nbytes

    @property
    def lengths(self):
        """int64 `[N]`, in bytes."""
        return np.diff(self.ends, prepend=0)

    def tolist(self):
        """List of bytes."""
        data, ends = self.data.tobytes(), self.ends.tolist()
        return [data[first:last] for first, last in zip([0, *ends], ends, strict=False)]

    def blocks(self):
        """Yields parts of a few thousand texts, in order, as NumPy bytes arrays."""
        for begin in range(0, len(self), _BLOCK):
            yield np.asarray(self._part(begin, begin + _BLOCK))

    def mask(self, function):
        """bool `[N]` of a function of a NumPy bytes array `[n]` → bool `[n]`."""
        found = [function(block) for block in self.blocks()]
        return np.concatenate(found) if found else np.zeros(0, bool)

    def changed(self, indices, values):
        """`Texts` with other values, a list of bytes, at the indices."""
        found = self.tolist()
        for index, value in zip(indices, values, strict=True):
            found[index] = value
        return of(found)

    def same(self, other):
        """bool `[N]`: which texts equal those of another `Texts` of the same length."""
        found = np.array(self.lengths == other.lengths)
        for begin in range(0, len(self), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            found[part] &= (np.asarray(self._part(begin, begin + _BLOCK))
                            == np.asarray(other._part(begin, begin + _BLOCK)))
        return found

    def hashes(self):
        """uint64 `[N]`, the same for equal texts and hardly ever for others."""
        found = [np.zeros(0, np.uint64)]
        for block in self.blocks():
            width = -(-block.itemsize // 8)
            words = block.astype(f'S{8 * width}').view('<u8').reshape(len(block), width)
            total = np.zeros(len(block), np.uint64)
            for place in range(width):  # what is past the end of a text is 0 and adds nothing
                word = words[:, place] * np.uint64(_FACTOR * (2 * place + 1) % 2**64)
                total += (word ^ (word >> np.uint64(32))) * np.uint64(_FACTOR)
            found.append(total ^ (total >> np.uint64(29)))
        return np.concatenate(found)

    def _part(self, begin, end):
        """As `self[begin:end]`, without a copy."""
        ends = self.ends[begin:end]
        first = int(self.ends[begin - 1]) if begin else 0
        return Texts(self.data[first:int(ends[-1])], ends - first)


def of(values):
    """`Texts` of a list of bytes, a NumPy bytes array, or `Texts`, which stay as they are."""
    if isinstance(values, Texts):
        return values
    if isinstance(values, np.ndarray):
        values = values.tolist()
    data = np.frombuffer(b''.join(values), np.uint8)
    return Texts(data, np.cumsum(np.fromiter(map(len, values), np.int64, len(values))))


def of_arrow(column):
    """`Texts` of an Arrow array of bytes without nulls."""
    import pyarrow as pa
    if isinstance(column, pa.ChunkedArray):
        return joined([of_arrow(chunk) for chunk in column.chunks])
    column = column.cast(pa.large_binary())
    _, ends, data = column.buffers()
    if not len(column):
        return of([])
    ends = np.frombuffer(ends, np.int64)[column.offset:column.offset + len(column) + 1]
    data = np.frombuffer(data or b'', np.uint8)[ends[0]:ends[-1]]
    return Texts(data.copy(), ends[1:] - ends[0])


def numbers(texts):
    """int64 `[N]`: equal texts have the same number, and others another."""
    hashes = texts.hashes()
    ordered = np.sort(hashes)
    if (ordered[1:] != ordered[:-1]).all():
        return np.arange(len(texts))
    _, first, number = np.unique(hashes, return_index=True, return_inverse=True)
    before = first[number]
    again = np.flatnonzero(before != np.arange(len(texts)))
    if not texts[before[again]].same(texts[again]).all():  # two texts with one hash
        number = np.unique(np.asarray(texts), return_inverse=True)[1]
    return number


def joined(parts):
    """`Texts` of several ones, one after another."""
    starts = np.cumsum([0, *(len(part.data) for part in parts)])
    return Texts(np.concatenate([part.data for part in parts] or [np.zeros(0, np.uint8)]),
                 np.concatenate([part.ends + start for part, start
                                 in zip(parts, starts, strict=False)] or [np.zeros(0, np.int64)]))
