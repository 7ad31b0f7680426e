"""Writes the shards of a pack, each whole or not at all; see `pack`."""

import zlib
from typing import NamedTuple

import numpy as np

from bsce_tf import files
from bsce_tf.data.sources import packed
from bsce_tf.errors import InputError

_BATCH = 64  # images that are read back at once
FACTS = np.dtype([('index', '<i8'), ('label', '<i4'), ('size', '<i8'), ('checksum', '<u4')])


class Shard(NamedTuple):
    """One shard of a plan.

    Attributes:
      path: pathlib.Path of the file; beside it, with the ending .npy, lie the facts.
      first, end: its images in the source, from `first` to before `end`.
    """

    path: object
    first: int
    end: int


def planned(folder, images, shard_images):
    """All `Shard`s of a pack."""
    names = packed.shard_names(images, shard_images)
    return [Shard(folder / name, i * shard_images, min((i + 1) * shard_images, images))
            for i, name in enumerate(names)]


def facts_of(shard, labels):
    """Facts of a shard that exists, `[n]` of `FACTS`; None if it does not.

    Raises:
      InputError: if they are damaged or of other data.
    """
    side = shard.path.with_suffix('.npy')
    if not files.exists(shard.path) or not side.exists():
        return None
    try:
        found = np.load(side)
        if 'index' not in found.dtype.names:  # of earlier versions, which left no image out
            facts = np.zeros(len(found), FACTS)
            facts['index'] = np.arange(shard.first, shard.first + len(found))
            for name in found.dtype.names:
                facts[name] = found[name]
            if len(found) != shard.end - shard.first:
                raise ValueError(f'{len(found)} images')
            found = facts
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise InputError(f'{side}: damaged ({error}); expected an empty folder to pack '
                         'into.') from error
    index = found['index']
    if ((index < shard.first) | (index >= shard.end)).any() or (
            labels[index] != found['label']).any():
        raise InputError(f'{side}: does not belong to this data; expected an empty folder.')
    return found


def write(shard, labels, images, bad):
    """Writes a shard and its facts, which appear after it was read back and compared.

    Args:
      shard: a `Shard`.
      labels: int `[N]`, of the whole set.
      images: iterable of the shard's images, in order: bytes, or an InputError.
      bad: function of an index of the set, called for each image that is an InputError. It returns
        the image's bytes if they can be had now, None to leave it out, or raises to stop.

    Returns:
      The facts of the images that are in it, `[n]` of `FACTS`.
    """
    facts = np.zeros(shard.end - shard.first, FACTS)
    written = 0
    with files.replacing(shard.path) as temporary:
        writer = packed.array_record_module().ArrayRecordWriter(str(temporary),
                                                                'group_size:1,uncompressed')
        try:
            for index, image in zip(range(shard.first, shard.end), images, strict=True):
                if isinstance(image, InputError):
                    image = bad(index, image)
                    if image is None:
                        continue
                facts[written] = index, labels[index], len(image), zlib.crc32(image)
                writer.write(image)
                written += 1
        finally:
            writer.close()
        facts = facts[:written]
        _check(shard.path, temporary, facts)
        with files.replacing(shard.path.with_suffix('.npy')) as beside:
            np.save(beside, facts)  # first: a shard with its name has its facts
    return facts


def _check(path, written, facts):
    """Reads a shard back and compares it with what was written."""
    shard = packed.array_record_module().ArrayRecordReader(str(written))
    if shard.num_records() != len(facts):
        raise InputError(f'{path}: {shard.num_records()} images read back; expected {len(facts)}. '
                         'Is the disk full?')
    for first in range(0, len(facts), _BATCH):
        numbers = list(range(first, min(first + _BATCH, len(facts))))
        for i, image in zip(numbers, shard.read(numbers), strict=True):
            if len(image) != facts['size'][i] or zlib.crc32(image) != facts['checksum'][i]:
                raise InputError(f'{path}: image {i} differs from its source when read back; '
                                 'expected the same bytes. Is the disk sound?')
    shard.close()
