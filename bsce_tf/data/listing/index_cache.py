"""Keeps indexes of long lists as memory-mapped arrays in a cache folder, which open at once."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import zlib

import numpy as np
from absl import logging

from bsce_tf import files, storage
from bsce_tf.data import texts
from bsce_tf.data.listing.image_lists import Index
from bsce_tf.errors import InputError

_VERSION = 2
_SMALLEST = 1 << 20  # bytes of lists; smaller ones are read as fast as their cache
_LEFT_OUT, _SUMS = 'left_out.json', 'checksums.json'
_TEXTS, _ARRAYS = ('paths', 'groups'), ('codes', 'folders')


def cached(lists, key, folder, build, holds=lambda index: True, worth=None):
    """Returns an index from the cache, or builds it and puts it there.

    The key of an entry has the path, size and modification time of every list, so a changed list is
    read again. A list on a web server is read each time. An entry whose
    checksums differ is built again, with a warning. If the folder cannot be written, a warning says
    so and nothing is cached.

    An index may depend on more than its lists, such as the folder in which the images lie. `holds`
    checks that: an entry that fails is built again, and a new index that fails is not kept.

    Args:
      lists: files that the index is made of.
      key: list of strings and numbers, of what else the index depends on, such as column names.
      folder: where to keep entries; '' for `indexes` in `files.cache_folder()`, 'off' for no cache.
        With an address in a bucket they are kept here; those of lists that lie in buckets, there,
        too, for other machines.
      build: function without arguments → `Index`.
      holds: function of an `Index` → bool; it must be quick.
      worth: function of a new `Index` → bool, whether to keep it; None: lists of 1 MiB are kept.

    Returns:
      `Index`; its arrays may be memory-mapped and read-only.

    Raises:
      InputError: if a list is missing, or what `build` raises.
      StorageError: if the bucket does not answer.
    """
    if storage.is_address(folder):
        storage.check(folder, 'data.cache')
        if storage.scheme(folder) in storage.WEB:
            raise InputError(f"data.cache: found '{folder}', to which nothing can be written; "
                             'expected a folder of this machine, or one in a bucket.')
    facts = [_facts(path) for path in lists]
    if None in facts:
        return build()
    short = worth is None and sum(size for _, size, _ in facts) < _SMALLEST
    if folder == 'off' or short:
        return build()
    what = lists[0] if lists else key[1]
    digest = hashlib.sha256(json.dumps([_VERSION, facts, key]).encode()).hexdigest()[:32]
    # Lists of two machines may have one path, size and time, but not the same content.
    shared = storage.is_address(folder) and lists and all(map(storage.is_address, lists))
    far, entry = storage.join(folder, digest) if shared else '', here(folder, 'indexes') / digest
    found = _kept(entry, far, what)
    if found is not None and holds(found):
        _send(entry, far)
        return found
    built = build()
    if not holds(built) or not (worth is None or worth(built)):
        return built
    try:
        _write(entry, built)
    except OSError as error:
        logging.warning('%s: cannot keep the index of %s there (%s); data.cache takes another '
                        "folder, or 'off'.", entry, what, error.strerror)
    else:
        _send(entry, far, anew=True)
    return built


def here(folder, kind):
    """Path of the folder of this machine for what is kept of a kind.

    Args:
      folder: `data.cache`; where that is empty or an address it is one in `files.cache_folder()`.
      kind: name of that one.
    """
    if folder and not storage.is_address(folder):
        return pathlib.Path(folder)
    return files.cache_folder() / kind


def _kept(entry, far, what):
    """The `Index` of an entry here, or else of the one in a bucket; None if none is whole."""
    if far and not entry.exists():
        try:
            names = storage.files(far)
            if _SUMS in names:  # it was sent last
                with _appearing(entry) as temporary:
                    for name in names:
                        storage.fetch(storage.join(far, name), temporary / name)
        except (OSError, InputError) as error:
            logging.warning('%s: cannot be fetched (%s); reading %s.', far, error, what)
    try:
        return _read(entry) if entry.exists() else None
    except (OSError, ValueError, KeyError) as error:
        logging.warning('%s: damaged cache entry (%s); reading %s again.', entry, error, what)
        return None


def _send(entry, far, anew=False):
    """Copies an entry into a bucket, if it has an address there; `anew`: even if one is there."""
    try:
        if far and (anew or not storage.exists(storage.join(far, _SUMS))):
            for name in sorted(os.listdir(entry), key=lambda name: name == _SUMS):
                storage.send(entry / name, storage.join(far, name))
    except (OSError, InputError) as error:
        logging.warning('%s: cannot be written (%s); other machines read the list.', far, error)


def _facts(path):
    if storage.is_address(path):
        version = storage.version(path)
        return version and [path, *version]
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected a list of images.') from error
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]


def _write(entry, built):
    with _appearing(entry) as temporary:
        for name, array in _arrays(built).items():
            np.save(temporary / f'{name}.npy', array)
        (temporary / 'names.json').write_text(json.dumps(built.names), encoding='utf-8')
        if built.left_out:
            (temporary / _LEFT_OUT).write_text(json.dumps(built.left_out), encoding='utf-8')
        sums = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        (temporary / _SUMS).write_text(json.dumps(sums), encoding='utf-8')


@contextlib.contextmanager
def _appearing(entry):
    """Context manager of a folder that becomes the entry when the block succeeds."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix='.writing-', dir=entry.parent))
    try:
        yield temporary
        shutil.rmtree(entry, ignore_errors=True)
        try:
            os.rename(temporary, entry)
        except OSError:
            if not entry.exists():  # else another process has written the same content first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(entry):
    sums = json.loads((entry / _SUMS).read_text(encoding='utf-8'))
    for name, known in sums.items():
        if _checksum(entry / name) != known:
            raise ValueError(f'{name} has a wrong checksum')
    names = json.loads((entry / 'names.json').read_text(encoding='utf-8'))
    arrays = {pathlib.Path(name).stem: np.load(entry / name, mmap_mode='r') for name in sums
              if name.endswith('.npy')}
    for name in _TEXTS:
        if f'{name}_ends' in arrays:
            arrays[name] = texts.Texts(arrays[name], arrays.pop(f'{name}_ends'))
    left_out = (json.loads((entry / _LEFT_OUT).read_text(encoding='utf-8'))
                if _LEFT_OUT in sums else '')
    return Index(arrays.pop('paths'), arrays.pop('codes'), tuple(names), left_out=left_out,
                 **arrays)


def _arrays(index):
    """{name: array} of what an `Index` holds, besides the names of classes."""
    found = {name: getattr(index, name) for name in _ARRAYS if getattr(index, name) is not None}
    for name in _TEXTS:
        if getattr(index, name) is not None:
            found |= {name: getattr(index, name).data, f'{name}_ends': getattr(index, name).ends}
    return found


def _checksum(path):
    value = 0
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
