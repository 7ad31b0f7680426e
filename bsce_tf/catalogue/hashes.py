"""A few numbers for each image, such as the hash of its bytes; and groups of equal images."""

import concurrent.futures
import contextlib
import hashlib
import os
from typing import NamedTuple

import numpy as np

from bsce_tf.catalogue import kept_hashes
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.progress import Bar

_CHUNK = 32  # images that a thread hashes at a time
_LOOK, _FEW = 50, 0.1  # images that are looked at, and share of new ones that counts as few


class Kind(NamedTuple):
    """What `digests` makes of each image.

    Attributes:
      name: for files of it.
      words: how many numbers of 64 bits.
      of: function of an encoded image, bytes, or of pixels, uint8 `[height, width, channels]`, →
        uint64 `[words]`. It raises InputError if it can make none. Zeros alone are not kept.
      about: what else it depends on, as text: numbers that were kept with another are made anew.
    """

    name: str
    words: int
    of: object
    about: str = ''


def _hash(image):
    data = image if isinstance(image, bytes) else image.tobytes()
    return np.frombuffer(hashlib.blake2b(data, digest_size=16).digest(), '<u8')


BYTES = Kind('hashes', 2, _hash)


def digests(examples, title='', progress=True, kept=None, kind=BYTES):
    """Hashes the stored bytes of every image, or makes something else of it.

    Args:
      examples: an `Examples` of any kind.
      title: label of the progress bar.
      progress: whether to show the progress bar.
      kept: pathlib.Path of a file of hashes that are known, to which the others are added, see
        `kept_hashes`; None: all images are read. It serves image files and packed sets alone: of
        other records nothing quickly tells whether they have changed.
      kind: a `Kind`.

    Returns:
      uint64 `[N, words]`, and a list of [name, reason] of the images that could not be read; the
      rows of these images are 0.
    """
    hashes = np.zeros((len(examples), kind.words), '<u8')
    unreadable = []
    starts = range(0, len(examples), _CHUNK)
    reader = None if examples.images is not None else records.of(examples)
    with contextlib.ExitStack() as stack:
        known = None
        if kept is not None and reader is not None and reader.has_facts:
            known = stack.enter_context(kept_hashes.KeptHashes(
                kept, examples, kind.words, kind.about))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(
            _threads(examples, reader, known)))
        bar = stack.enter_context(Bar(f'{kind.name} {title}', len(examples), shown=progress))

        def hash_chunk(first):
            return _hash_chunk(examples, reader, known, hashes, first, kind.of)

        for first, failed in zip(starts, pool.map(hash_chunk, starts), strict=True):
            unreadable += failed
            bar.update(min(_CHUNK, len(examples) - first))
    return hashes, unreadable


def _threads(examples, reader, known):
    """How many images to read and hash at a time."""
    few = 2 * os.cpu_count()
    if reader is None:
        return few
    if known is not None:  # measuring the storage would take longer than the few reads that remain
        spread = np.linspace(0, len(examples) - 1, _LOOK).astype(int)
        new = [not known.entries(i, i + 1)['hash'].any() for i in spread.tolist()]
        if np.mean(new) < _FEW:
            return few
    return examples.storage.readers


def _hash_chunk(examples, reader, known, hashes, first, of):
    """Hashes the images from `first` on; list of [name, reason] of those that are unreadable."""
    last = min(first + _CHUNK, len(examples))
    entries = None
    if known is not None:  # before the images are read: a change meanwhile is seen the next time
        entries = known.entries(first, last)
        hashes[first:last] = entries['hash']
    failed, new = [], []
    for i in np.flatnonzero(~hashes[first:last].any(axis=1)).tolist():
        try:
            hashes[first + i] = of(examples.images[first + i] if reader is None
                                   else reader.read([first + i])[0])
        except InputError as error:
            failed.append([examples.name(first + i), str(error)])
            continue
        new.append(i)
    if known is not None and new:
        entries['hash'] = hashes[first:last]
        known.add(entries[new])
    return failed


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
