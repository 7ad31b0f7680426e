"""Reads what `bsce pack` writes: batched random access to shards of encoded images."""

import errno
import hashlib
import json
import os
import pathlib

import numpy as np

from bsce_tf import files, storage
from bsce_tf.data import label_map, texts
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.data.reading import handles
from bsce_tf.data.reading.records import Records
from bsce_tf.data.sources import far_pack
from bsce_tf.errors import InputError


def load(*, root, train='', validation='', test='', cache=''):
    """Opens packs.

    Args:
      root: folder of the packs, or its address, see `storage`. Shards from there are fetched whole
        when they are first read, and kept in the cache.
      train: folder of the training pack, relative to `root`; empty for `train`.
      validation: folder of the validation pack; empty for `validation` if there is one.
      test: folder of the test pack; empty for `test` if there is one.
      cache: folder for what was fetched; empty for `packs` in `files.cache_folder()`.

    Returns:
      `Splits`; `Examples.records` reads batches in any order and is thread-safe.

    Raises:
      InputError: if a pack is missing, unfinished or damaged, or label maps differ.
    """
    found = {}
    for split, name in (('train', train), ('validation', validation), ('test', test)):
        folder = storage.below(root, name or split)
        if name or split == 'train' or _there(folder):
            found[split] = _open(folder, cache)
    names = found['train'].class_names
    for examples in found.values():
        label_map.check(names, examples.class_names, found['train'].origin, examples.origin)
    return Splits(found['train'], found.get('validation'), found.get('test'))


def _there(folder):
    if storage.is_address(folder):  # web servers have no folders
        return storage.offered(storage.join(folder, 'pack.json'))
    return os.path.exists(folder)


def _open(origin, cache):
    address = origin if storage.is_address(origin) else ''
    folder = far_pack.small_files(address, cache) if address else pathlib.Path(origin)
    about = folder / 'pack.json'
    try:
        facts = json.loads(about.read_text(encoding='utf-8'))
        planned, shard_images = int(facts['images']), int(facts['shard_images'])
        images = int(facts.get('packed', planned))  # without those that were left out
        counts = facts.get('shards') or _even(images, shard_images)
        labels = np.load(folder / 'labels.npy')
        names = load_texts(folder, 'names')
        groups = load_texts(folder, 'groups') if facts.get('groups') else None
    except OSError as error:
        raise InputError(f'{error.filename}: {error.strerror}; expected a finished pack, written '
                         'by bsce pack.') from error
    except (ValueError, EOFError, KeyError, TypeError) as error:
        raise InputError(f'{origin}: damaged pack ({error}); pack the data again.') from error
    if not images == len(labels) == len(names):
        raise InputError(f'{origin}: {len(labels)} labels and {len(names)} names; expected '
                         f'{images} of each. Pack the data again.')
    if groups_digest(groups) != facts.get('groups'):
        raise InputError(f'{origin}: groups.npy is not that of pack.json. Pack the data again.')
    names_of = shard_names(planned, shard_images)
    if len(names_of) != len(counts) or sum(counts) != images:
        raise InputError(f'{origin}: damaged pack ({len(counts)} shards of {sum(counts)} images); '
                         'pack the data again.')
    store = Shards([folder / name for name in names_of], counts, address)
    return Examples(labels, label_map.load(folder / 'class_names.json'),
                    records=Records(store, names), origin=str(origin), groups=groups)


def groups_digest(groups):
    """Hex digest of `Examples.groups`, which pack.json holds; None of None."""
    if groups is None:
        return None
    return hashlib.sha256(groups.data.tobytes() + groups.ends.tobytes()).hexdigest()


def load_texts(folder, name):
    """`Texts` that `save_texts` wrote, or the one NumPy bytes array of earlier packs."""
    data = np.load(folder / f'{name}.npy', mmap_mode='r')
    if data.dtype.kind == 'S':
        return texts.of(data)
    ends = np.load(folder / f'{name}_ends.npy')
    if len(ends) and ends[-1] != len(data):
        raise ValueError(f'{name}_ends.npy is not that of {name}.npy')
    return texts.Texts(data, ends)


def save_texts(folder, name, values):
    """Writes `Texts` as two files, `<name>.npy` and `<name>_ends.npy`."""
    for ending, array in (('_ends', values.ends), ('', values.data)):
        with files.replacing(folder / f'{name}{ending}.npy') as temporary, open(
                temporary, 'wb') as file:
            np.save(file, array)


class Shards:
    """A store of images in ArrayRecord shards.

    Shards are opened when they are read, so it can be sent to other processes; see `handles` for
    how many stay open.

    Args:
      paths: list of pathlib.Path, of the shards in order.
      counts: list of the number of images in each.
      address: of the folder from which shards that are not there are fetched; '' for none.
    """

    def __init__(self, paths, counts, address=''):
        self._paths, self._address = paths, address
        self._ends = np.cumsum(counts)
        self._module = array_record_module()

    def __getstate__(self):
        return {key: self.__dict__[key] for key in ('_paths', '_address', '_ends')}

    def __setstate__(self, state):
        self.__dict__.update(state, _module=array_record_module())

    @property
    def _cure(self):
        return 'Delete it, and it is fetched again' if self._address else 'Pack the data again'

    def read(self, numbers):
        """Images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        shards = np.searchsorted(self._ends, numbers, side='right')
        places = numbers - np.where(shards > 0, self._ends[shards - 1], 0)
        images = [None] * len(numbers)
        for shard in np.unique(shards):
            wanted = np.flatnonzero(shards == shard)
            found = self._read(int(shard), places[wanted].tolist())
            for i, image in zip(wanted, found, strict=True):
                images[i] = image
        return images

    def facts(self, numbers):
        """uint32 `[n]`: CRC-32 of each image as it was packed."""
        path = self._paths[0].with_name('checksums.npy')
        try:
            return np.load(path)[numbers]
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise InputError(f'{path}: damaged ({error}); pack the data again.') from error

    def _read(self, shard, places):
        if self._address:
            self._fetch(shard)
        reader = self._reader(shard)
        try:
            return reader.read(places)
        except RuntimeError as error:
            line = ' '.join(str(error).split())
            raise InputError(f'{self._paths[shard]}: damaged ({line}). {self._cure}.') from error

    def _fetch(self, shard):
        path = self._paths[shard]
        if not path.exists():
            first = int(self._ends[shard - 1]) if shard else 0
            far_pack.fetch(storage.join(self._address, path.name), path, self._shard,
                           self.facts(slice(first, int(self._ends[shard]))))

    def _shard(self, path):
        # Reading ahead only slows random access down.
        return self._module.ArrayRecordReader(path, 'readahead_buffer_size:0')

    def _reader(self, shard):
        try:
            return handles.OPEN.get(self, shard, lambda: self._opened(shard))
        except OSError as error:
            limit = f' (ulimit -n is {handles.most_files()})' * (error.errno == errno.EMFILE)
            raise InputError(f'{self._paths[shard]}: {error.strerror}{limit}; expected a shard '
                             'that can be opened.') from error

    def _opened(self, shard):
        path = self._paths[shard]
        if not os.path.isfile(path):
            raise InputError(f'{path}: no such file; expected a shard. Pack the data again.')
        reader = self._shard(str(path))
        expected = int(self._ends[shard] - (self._ends[shard - 1] if shard else 0))
        if reader.num_records() != expected:
            os.close(os.open(path, os.O_RDONLY))  # a file that it cannot open is empty for it
            raise InputError(f'{path}: {reader.num_records()} images; expected {expected}. '
                             f'{self._cure}.')
        return reader


def _even(images, shard_images):
    """Images of each shard of an earlier version, which left none out."""
    return [min(shard_images, images - first) for first in range(0, images, shard_images)]


def shard_names(images, shard_images):
    """File names of the shards, in order."""
    count = -(-images // shard_images)
    return [f'shard-{number:05d}-of-{count:05d}.array_record' for number in range(count)]


def array_record_module():
    """The module of array_record, or an `InputError` that says how to get it."""
    try:
        from array_record.python import array_record_module as module
    except ImportError as error:
        raise InputError("data.source packed, mode pack: need array_record: pip install "
                         "'bsce-tf[packed]'.") from error
    return module
