"""Hashes of the stored bytes of images, and groups of equal ones."""

import concurrent.futures
import hashlib
import os

import numpy as np

from bsce_tf.data import records
from bsce_tf.errors import InputError
from bsce_tf.progress import Bar

_CHUNK = 64  # images that a thread hashes at a time


def digests(examples, title='', progress=True):
    """Hashes the stored bytes of every image.

    Args:
      examples: an `Examples` of any kind.
      title: label of the progress bar.
      progress: whether to show the progress bar.

    Returns:
      uint64 `[N, 2]`, and a list of [name, reason] of the images that could not be read; the rows
      of these images are 0.
    """
    hashes = np.zeros((len(examples), 2), '<u8')
    unreadable = []
    reader = None if examples.images is not None else records.of(examples)

    def read(i):
        image = examples.images[i].tobytes() if reader is None else reader.read([i])[0]
        return hashlib.blake2b(image, digest_size=16).digest()

    def hash_chunk(first):
        failed = []
        for i in range(first, min(first + _CHUNK, len(examples))):
            try:
                hashes[i] = np.frombuffer(read(i), '<u8')
            except InputError as error:
                failed.append([examples.name(i), str(error)])
        return failed

    starts = range(0, len(examples), _CHUNK)
    with (concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool,
          Bar(f'hash {title}', len(examples), shown=progress) as bar):
        for first, failed in zip(starts, pool.map(hash_chunk, starts), strict=True):
            unreadable += failed
            bar.update(min(_CHUNK, len(examples) - first))
    return hashes, unreadable


def duplicates(splits, hashes):
    """Groups of equal images.

    Args:
      splits: dict of split → `Examples`.
      hashes: dict of split → uint64 `[N, 2]`, see `digests`; rows of 0 are ignored.

    Returns:
      List of groups, each a list of (split, index).
    """
    names = list(splits)
    starts = np.cumsum([0] + [len(hashes[split]) for split in names])
    rows = np.concatenate([hashes[split] for split in names])
    readable = np.flatnonzero(rows.any(axis=1))
    order = readable[np.lexsort(rows[readable].T)]  # stable: rising within a group
    same = (rows[order][1:] == rows[order][:-1]).all(axis=1)
    groups = []
    for place in np.flatnonzero(same):
        if not place or not same[place - 1]:
            groups.append([order[place]])
        groups[-1].append(order[place + 1])

    def origin(row):
        part = int(np.searchsorted(starts, row, side='right')) - 1
        return names[part], int(row - starts[part])

    return [[origin(row) for row in group] for group in groups]
