"""Writes files completely or not at all, and CSV that reads back equal; names the cache folder."""

import contextlib
import csv
import errno
import json
import os
import pathlib
import re
import shutil
import uuid

from bsce_tf.errors import InputError

_PATTERN = re.compile(r'\.(\d+)(-[0-9a-f]{32})?\.')
_writing = set()  # paths that this process is about to rename
watchers = []  # functions that are called with each path that was renamed
removers = []  # functions that are called with each path that `remove` removes
mirrors = []  # folders that are kept the same in a bucket, each a `remote.mirror.Mirror`


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`, and renames it to `path` when the block succeeds.

    After an error, or when the process is killed, `path` is as it was before.
    """
    path = pathlib.Path(path)
    # Containers that share a folder may have equal process ids; writers need the suffix.
    temporary = path.with_name(f'.{os.getpid()}-{uuid.uuid4().hex}.{path.name}')
    _writing.add(temporary)
    try:
        yield temporary
        with open(temporary, 'rb') as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _writing.discard(temporary)
    for watcher in watchers:
        watcher(path)


def remove(path):
    """Removes a file, a pathlib.Path, if it is there; also from the bucket its folder mirrors."""
    path.unlink(missing_ok=True)
    for remover in removers:
        remover(path)


def mirror_of(path):
    """The one of `mirrors` that a path lies in; None if it lies in none."""
    path = pathlib.Path(os.path.abspath(path))
    return next((mirror for mirror in mirrors
                 if mirror.folder == path or mirror.folder in path.parents), None)


def address(path):
    """Text that names a file or folder on every machine: its address, if a bucket has it, too."""
    mirror = mirror_of(path)
    return mirror.place(path) if mirror else str(path)


def refresh(folder):
    """Fetches what other processes have written, where the folder is a mirror of a bucket's."""
    if mirror := mirror_of(folder):
        mirror.refresh()


def exists(path):
    """Whether there is a file, a pathlib.Path: here, or in the bucket of which this is a mirror."""
    return path.exists() or bool((mirror := mirror_of(path)) and mirror.has(path))


def names(folder):
    """Set of the names in a folder, a pathlib.Path, and in that of which it is a mirror."""
    mirror = mirror_of(folder)
    return set(os.listdir(folder)) | (mirror.names(folder) if mirror else set())


def check_space(folder, size):
    """Raises OSError if fewer than `size` bytes are free where `folder` is.

    For writers that crash on a full disk, such as HDF5's.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def is_leftover(path):
    """Whether a path is a temporary file of `replacing`."""
    return _PATTERN.match(pathlib.Path(path).name) is not None


def remove_leftovers(folder, names=None):
    """Removes temporary files that killed processes left in a folder; of these names, if given.

    The caller must hold the folder's lock, see `locks`. Files of living processes on this machine
    stay: a process that reads a run needs no lock, and may be writing a table.
    """
    for path in folder.iterdir() if folder.exists() else ():
        if is_leftover(path) and not _in_use(path) and (
                names is None or path.name.split('.', 2)[2] in names):
            path.unlink(missing_ok=True)


def _in_use(path):
    process = int(_PATTERN.match(path.name)[1])
    if process == os.getpid():  # or an earlier container's process
        return path in _writing
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path, text):
    """Writes UTF-8 text to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def csv_writer(file):
    """A `csv.writer` that ends rows with a line feed; what it writes reads back equal.

    Before Python 3.13, csv quotes a carriage return in a cell only if rows end with one, too.
    """
    return csv.writer(_LineFeeds(file), lineterminator='\r\n')


class _LineFeeds:
    def __init__(self, file):
        self._file = file

    def write(self, row):
        return self._file.write(row.removesuffix('\r\n') + '\n')


def cache_folder():
    """Folder of files that can be made or downloaded again.

    `$BSCE_TF_CACHE`, or else `bsce_tf` in `$XDG_CACHE_HOME` or in `~/.cache`.
    """
    chosen = os.environ.get('BSCE_TF_CACHE')
    base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(chosen) if chosen else pathlib.Path(base) / 'bsce_tf'


def write_json(path, value):
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + '\n')


def read_json(path, check, made_by):
    """What a JSON file holds; None if there is no such file.

    Args:
      path: pathlib.Path.
      check: function of the content that raises an error of Python's if it is not as expected.
      made_by: what writes such a file, for the message.

    Raises:
      InputError: if the file is damaged.
    """
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        check(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path}: {error}; expected what {made_by} wrote.') from error
    return found
