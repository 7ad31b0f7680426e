"""Files that appear complete or not at all."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import uuid


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`; renamed to `path` when the block ends well.

    After an error, or when the process is killed, `path` is as it was before.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f'.{_token()}.{path.name}')  # the suffix says the format
    try:
        yield temporary
        with open(temporary, 'rb') as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _token():
    """What no other writer has: containers that share a folder may share numbers of processes."""
    return f'{os.getpid()}-{uuid.uuid4().hex}'


def check_space(folder, size):
    """Raises OSError if fewer than `size` bytes are free where `folder` is.

    For writers that do not survive a disk that fills up, as HDF5's.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def is_leftover(path):
    """Whether a path is what `replacing` leaves behind when its process is killed."""
    return re.match(r'\.\d+(-[0-9a-f]{32})?\.', pathlib.Path(path).name) is not None


def remove_leftovers(folder):
    """Removes what `replacing` left in a folder. Only for who holds its lock, see `locks`."""
    for path in folder.iterdir() if folder.exists() else ():
        if is_leftover(path):
            path.unlink(missing_ok=True)


def write_text(path, text):
    """Writes UTF-8 text to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path, value):
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + '\n')
