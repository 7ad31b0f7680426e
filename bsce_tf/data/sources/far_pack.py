"""Packs in a bucket or on a web server: fetched into the cache, each shard when it is needed."""

import contextlib
import fcntl
import hashlib
import io
import json
import threading
import zlib

import numpy as np

from bsce_tf import files, storage
from bsce_tf.data.listing import index_cache
from bsce_tf.errors import InputError

_WHOLE = 'pack.json', 'labels.npy', 'names.npy', 'class_names.json', 'checksums.npy'
_AT_ONCE = threading.BoundedSemaphore(8)
_RECORDS = 64  # read at a time of a shard that was fetched
_ROOM = 'expected room for the pack that is fetched: data.cache names another folder.'


def small_files(address, cache):
    """Folder of this machine with the files of a pack besides its shards.

    It is another one where any of these files is another, as are those of another pack.

    Args:
      address: of the pack's folder.
      cache: `data.cache`.

    Raises:
      InputError: if a file is missing, or there is no room for the pack.
      StorageError: as `storage.read`.
    """
    if cache == 'off':
        raise InputError(f'data.cache: found off with a pack in {address}; expected a folder for '
                         'its shards.')
    found = {name: storage.read(storage.join(address, name)) for name in _WHOLE}
    try:
        facts = json.loads(found['pack.json'])
        more = [] if np.load(io.BytesIO(found['names.npy'])).dtype.kind == 'S' else ['names_ends']
        more += ['groups', 'groups_ends'] * bool(facts.get('groups'))
        size = int(facts.get('bytes', 0))
    except (ValueError, EOFError, AttributeError, TypeError) as error:
        raise InputError(f'{address}: damaged pack ({error}); pack the data again.') from error
    for name in more:
        found[f'{name}.npy'] = storage.read(storage.join(address, f'{name}.npy'))
    sums = [(name, hashlib.sha256(data).hexdigest()) for name, data in found.items()]
    digest = hashlib.sha256(json.dumps([address, sums]).encode()).hexdigest()[:32]
    folder = index_cache.here(cache, 'packs') / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in found.items():
            if not (folder / name).exists():  # other processes may have mapped it
                with files.replacing(folder / name) as temporary:
                    temporary.write_bytes(data)
        files.check_space(folder, size - sum(
            path.stat().st_size for path in folder.glob('*.array_record')))
    except OSError as error:
        raise InputError(f'{folder}: {error.strerror}; {_ROOM}') from error
    return folder


def fetch(address, path, reader, checksums):
    """Fetches a shard, unless it is there or another process has fetched it meanwhile.

    Args:
      address: of the shard.
      path: pathlib.Path, where it goes.
      reader: function of a path that opens a shard.
      checksums: uint32 `[n]`, CRC-32 of each image that is in it.

    Raises:
      StorageError: if it is not there, did not come, is no shard of this pack or cannot be written.
        That is no fault of the images.
    """
    def check(temporary):
        try:
            shard = reader(str(temporary))
            whole = shard.num_records() == len(checksums)
            for first in range(0, len(checksums) * whole, _RECORDS):
                numbers = range(first, min(first + _RECORDS, len(checksums)))
                found = [zlib.crc32(image) for image in shard.read(list(numbers))]
                whole &= found == checksums[first:first + _RECORDS].tolist()
        except RuntimeError:
            whole = False
        if not whole:
            raise storage.failure(
                f'{address}: holds other images than pack.json and checksums.npy beside it say; '
                'expected a pack that is whole and not being written.')

    if path.exists():
        return
    with _AT_ONCE, _alone(path):
        if path.exists():
            return
        try:
            storage.fetch(address, path, check)
        except OSError as error:
            raise storage.failure(f'{path}: {error.strerror}; {_ROOM}') from error
        except InputError as error:
            raise storage.failure(str(error)) from error


@contextlib.contextmanager
def _alone(path):
    """Waits until no other process or thread fetches the same file."""
    lock = path.with_name(f'.{path.name}.lock')
    with open(lock, 'a') as file:
        with contextlib.suppress(OSError):  # without locks, two may fetch the same
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
