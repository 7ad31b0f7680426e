"""Packs any source into a few large ArrayRecord files, for storage where small files are slow.

A pack is a folder:
  shard-00000-of-00012.array_record   encoded images, unchanged
  shard-00000-of-00012.npy            (label, size, CRC-32) of each image
  labels.npy names.npy checksums.npy  the same of all shards together
  groups.npy                          of each image, where the source has groups
  class_names.json
  pack.json                           written last: a folder without it is not finished
"""

import json
import pathlib
import zlib

import numpy as np
from absl import logging

from bsce_tf import fields, files, locks
from bsce_tf.data import label_map, records, sources
from bsce_tf.data.sources import packed
from bsce_tf.errors import InputError
from bsce_tf.progress import Bar
from bsce_tf.termination import Terminated

_BATCH = 64  # images read at once
_FACTS = np.dtype([('label', '<i4'), ('size', '<i8'), ('checksum', '<u4')])


def run(config, workdir):
    """Mode `pack`: every split of `config.data` into `workdir/packed/<split>`.

    `--config.data.source=packed --config.data.root=<workdir>/packed` then reads them.
    """
    folder = pathlib.Path(workdir) / 'packed'
    splits = sources.load(config.data.source, **sources.fields(config.data))
    for split, examples in splits._asdict().items():
        if examples is not None:
            pack(examples, folder / split, config.data.shard_images)


def pack(examples, folder, shard_images=4096, progress=True):
    """Writes one split, or continues where an earlier call was killed.

    A shard gets its final name only after it was read back: number, labels and bytes of its images
    equal those of the source. Existing shards of the same data are kept.

    Args:
      examples: an `Examples` with paths or records.
      folder: where to write; made if it is missing.
      shard_images: images in a shard, at least 1.
      progress: whether to show the progress bar.

    Raises:
      InputError: if the folder holds a pack of other data (see `records.contents` for what is
        compared of the images), an image cannot be read, or array_record is missing.
    """
    fields.check('data.shard_images', shard_images)
    folder = pathlib.Path(folder)
    with locks.held(folder), Terminated() as terminated, terminated.at_once(
            f'{folder}: told to stop; shards that are done stay, and the same command resumes'):
        _pack(examples, folder, shard_images, progress)


def _pack(examples, folder, shard_images, progress):
    """`pack` in a folder that this process holds."""
    reader = records.of(examples)
    plan = {'format': 1, 'images': len(examples), 'shard_images': shard_images,
            'fingerprint': records.fingerprint(examples), 'contents': records.contents(examples),
            'groups': packed.groups_digest(examples.groups)}
    finished = _begin(folder, plan)
    if finished:
        if finished.get('groups') != plan['groups']:
            _write_groups(folder, examples)
            files.write_json(folder / 'pack.json', finished | {'groups': plan['groups']})
        logging.info('%s: already packed.', folder)
        return
    names = packed.shard_names(len(examples), shard_images)
    parts = []
    with Bar(f'pack {folder.name}', len(examples), shown=progress) as bar:
        for number, name in enumerate(names):
            first = number * shard_images
            chosen = np.arange(first, min(first + shard_images, len(examples)))
            parts.append(_shard(folder / name, reader, examples.labels, chosen, bar))
    _finish(folder, examples, plan, np.concatenate(parts))


def _begin(folder, plan):
    """Makes the folder and its plan. Returns the content of pack.json if the pack is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('pack.json', 'plan.json'):
        path = folder / name
        if path.exists():
            found = _plan(path)
            # Groups are beside the images and can be written anew.
            differing = [key for key in records.differing(found, plan) if key != 'groups']
            if differing:
                raise InputError(f'{path}: a pack of other data or with other shards ('
                                 f'{", ".join(differing)} differ); expected an empty folder, or '
                                 'one of this data.')
            if name == 'pack.json':
                return found
    files.remove_leftovers(folder)
    files.write_json(folder / 'plan.json', plan)
    return None


def _plan(path):
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(found, dict):
            raise ValueError(f'found a {type(found).__name__}')
    except ValueError as error:
        raise InputError(f'{path}: damaged ({error}); expected an empty folder to pack '
                         'into.') from error
    return found


def _shard(path, reader, labels, chosen, bar):
    """Writes one shard, unless it exists. Returns its facts, `[n]` of `_FACTS`."""
    side = path.with_suffix('.npy')
    if path.exists() and side.exists():
        try:
            facts = np.load(side)
        except (EOFError, ValueError) as error:
            raise InputError(f'{side}: damaged ({error}); expected an empty folder to pack '
                             'into.') from error
        if len(facts) == len(chosen) and (facts['label'] == labels[chosen]).all():
            bar.update(len(chosen))
            return facts
        raise InputError(f'{side}: does not belong to this data; expected an empty folder.')
    facts = np.zeros(len(chosen), _FACTS)
    facts['label'] = labels[chosen]
    with files.replacing(path) as temporary:
        writer = packed.array_record_module().ArrayRecordWriter(str(temporary),
                                                         'group_size:1,uncompressed')
        try:
            for first in range(0, len(chosen), _BATCH):
                images = reader.read(chosen[first:first + _BATCH])
                for i, image in enumerate(images, first):
                    facts['size'][i], facts['checksum'][i] = len(image), zlib.crc32(image)
                    writer.write(image)
                bar.update(len(images))
        finally:
            writer.close()
        _check(path, temporary, facts)
        with files.replacing(side) as beside:  # first: a shard with its name has its facts
            np.save(beside, facts)
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


def _write_groups(folder, examples):
    if examples.groups is None:
        for name in ('groups.npy', 'groups_ends.npy'):
            (folder / name).unlink(missing_ok=True)
    else:
        packed.save_texts(folder, 'groups', examples.groups)


def _finish(folder, examples, plan, facts):
    if len(facts) != len(examples) or (facts['label'] != examples.labels).any():
        raise InputError(f'{folder}: labels of the shards differ from those of '
                         f'{examples.origin}; expected an empty folder to start with.')
    arrays = {'labels': examples.labels, 'checksums': facts['checksum']}
    for name, values in arrays.items():
        with files.replacing(folder / f'{name}.npy') as temporary:
            np.save(temporary, values)
    packed.save_texts(folder, 'names', records.names(examples))
    _write_groups(folder, examples)
    label_map.save(folder / 'class_names.json', examples.class_names)
    files.write_json(folder / 'pack.json', plan | {'bytes': int(facts['size'].sum())})

