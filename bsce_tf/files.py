"""Files that appear complete or not at all, CSV that can be read back, and where a cache lies."""

import contextlib
import csv
import errno
import json
import os
import pathlib
import re
import shutil
import uuid

_PATTERN = re.compile(r'\.(\d+)(-[0-9a-f]{32})?\.')
_writing = set()  # paths that this process is about to rename


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`; renamed to `path` when the block ends well.

    After an error, or when the process is killed, `path` is as it was before.
    """
    path = pathlib.Path(path)
    # Containers that share a folder may share numbers of processes; the suffix says the format.
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


def check_space(folder, size):
    """Raises OSError if fewer than `size` bytes are free where `folder` is.

    For writers that do not survive a disk that fills up, as HDF5's.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def is_leftover(path):
    """Whether a path is what `replacing` leaves behind when its process is killed."""
    return _PATTERN.match(pathlib.Path(path).name) is not None


def remove_leftovers(folder):
    """Removes what killed processes left in a folder. Only for who holds its lock, see `locks`.

    Processes that only read there need no lock and may write a table: what a living process of this
    machine writes stays.
    """
    for path in folder.iterdir() if folder.exists() else ():
        if is_leftover(path) and not _in_use(path):
            path.unlink(missing_ok=True)


def _in_use(path):
    process = int(_PATTERN.match(path.name)[1])
    if process == os.getpid():  # or that of an earlier container
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
    """A `csv.writer` that ends rows with a line feed and can be read back whatever is in a cell.

    Before Python 3.13 csv quotes a carriage return only where rows end with one, too.
    """
    return csv.writer(_LineFeeds(file), lineterminator='\r\n')


class _LineFeeds:
    def __init__(self, file):
        self._file = file

    def write(self, row):
        return self._file.write(row.removesuffix('\r\n') + '\n')


def cache_folder():
    """Where what can be made or fetched again is kept between runs.

    `$BSCE_TF_CACHE`, or else `bsce_tf` in `$XDG_CACHE_HOME` or in `~/.cache`.
    """
    chosen = os.environ.get('BSCE_TF_CACHE')
    base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(chosen) if chosen else pathlib.Path(base) / 'bsce_tf'


def write_json(path, value):
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + '\n')
