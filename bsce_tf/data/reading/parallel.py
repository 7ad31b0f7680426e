"""Reads images apart from decoding them: many at a time, in order.

Decoding needs cores; reading from slow storage needs patience. So the number of images that are
read at once depends on how long a read takes, not on the cores.
"""

import collections
import concurrent.futures
import functools
import itertools
import math
import time
from typing import NamedTuple

import numpy as np

from bsce_tf.errors import InputError

_RATE = 3200  # images a second that reading alone should reach
_FEWEST, _MOST = 8, 256  # readers that a measurement may choose
_BYTES = 1 << 28  # of the images that are read at once, at most
_SAMPLE, _SECONDS = 16, 0.5  # reads of a measurement, and the time after which it ends
_MEMORY = 8  # chunks over which the time of a read is averaged


class Storage(NamedTuple):
    """What is known of the place where a set's images lie.

    Attributes:
      readers: how many images to read at a time.
      size: mean size of an image in bytes; 0 where it is not known.
      seconds: of a read, if `readers` follow from it; else infinite.
    """

    readers: int
    size: int
    seconds: float = math.inf

    @property
    def quick(self):
        """Whether one reader alone reaches 3,200 images a second."""
        return self.seconds * _RATE < 1


def measure(reader, readers=0):
    """The `Storage` of a set, by reading up to 16 of its images, one after another.

    The places are drawn anew each time, so that they are not in the cache because of the last
    measurement. In 0.5 s it stops, however many it has read. To reach 3,200 images a second, 32
    readers are needed where a read takes 10 ms, and 128 where it takes 40 ms. The number is the
    nearest power of 2 from 8 to 256, and less where the images read at once would take more than
    256 MiB.

    Args:
      reader: a `records.Records`.
      readers: the number of readers, `data.readers`; 0: measure.
    """
    if reader.in_order:
        return Storage(1, 0)
    seconds, sizes = [], []
    end = time.perf_counter() + _SECONDS
    for index in np.random.default_rng().integers(0, len(reader), _SAMPLE):
        begin = time.perf_counter()
        image = _one(reader, index)
        seconds.append(time.perf_counter() - begin)
        if not isinstance(image, InputError):
            sizes.append(len(image))
        if time.perf_counter() > end:
            break
    size = int(np.mean(sizes)) if sizes else 0
    # The first read may have to open a file or a connection.
    mean = float(np.mean(seconds[1:] or seconds))
    return Storage(readers, size) if readers else Storage(_fitting(mean, size), size, mean)


def _fitting(seconds, size):
    """Readers for images that take a time and have a size."""
    wanted = min(max(seconds * _RATE, _FEWEST), _MOST)
    most = max(_BYTES // max(size, 1), 1)
    return 1 << min(round(np.log2(wanted)), int(most).bit_length() - 1)


class Chunks:
    """Reads images of a set: many at a time, or one after another where reads are so quick that
    threads would slow them down.

    Args:
      reader: a `records.Records`.
      storage: a `Storage`; all callers in this process together read `storage.readers` at a time.
    """

    def __init__(self, reader, storage):
        self._reader, self._storage = reader, storage

    def read(self, indices):
        """The images at `indices`, int `[n]`, in that order: a list of bytes, b'' for those that
        cannot be read.
        """
        if self._storage.quick:
            begin = time.perf_counter()
            found = _readable(self._reader, indices)
            # A single pause, of whatever length, must not count as slow storage.
            taken = min((time.perf_counter() - begin) / max(len(indices), 1), 2 / _RATE)
            mean = self._storage.seconds + (taken - self._storage.seconds) / _MEMORY
            self._storage = self._storage._replace(seconds=mean)  # what was quick may become slow
            return found
        readers = self._storage.readers
        parts = np.array_split(indices, min(readers, max(len(indices), 1)))
        if len(parts) < 2:
            return _readable(self._reader, indices)
        found = [pool(readers).submit(_readable, self._reader, part) for part in parts]
        concurrent.futures.wait(found)  # once; to wait for each in turn takes a third more time
        return list(itertools.chain.from_iterable(part.result() for part in found))


def each(reader, indices, readers):
    """Every image at `indices`, in that order: bytes, or the InputError of one that fails.

    Images are read ahead: `readers` of them at a time, and no more are kept.

    Args:
      reader: a `records.Records`.
      indices: iterable of int.
      readers: reads at a time.

    Returns:
      A generator.
    """
    return in_order(functools.partial(_one, reader), indices, readers)


def in_order(function, values, threads):
    """Yields `function(value)` of each value, in their order; so many are made ahead at a time.

    Args:
      function: is called in threads; it must not wait for another call of `in_order`.
      values: iterable.
      threads: number of calls at a time, and of results that are kept.
    """
    waiting = collections.deque()
    try:
        for value in values:
            waiting.append(pool(threads).submit(function, value))
            if len(waiting) >= threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for task in waiting:
            task.cancel()


@functools.cache
def pool(readers):
    """The threads of this process that read `readers` images at a time; they end with it."""
    return concurrent.futures.ThreadPoolExecutor(readers, f'read-{readers}')


def _one(reader, index):
    try:
        return reader.read([index])[0]
    except InputError as error:
        return error


def _readable(reader, indices):
    try:
        return reader.read(indices)
    except InputError:  # a bad image is examined when it fails to decode
        return [b'' if isinstance(image, InputError) else image
                for image in (_one(reader, index) for index in indices)]
