"""A folder, or a file, that one process at a time writes."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket

from absl import logging

from bsce_tf.errors import RunError

NAME = '.lock'

# What a file system without locks answers.
_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextlib.contextmanager
def held(folder, name=NAME, what='--workdir'):
    """Holds a folder, which is made if it is missing, until the block ends.

    The lock is the kernel's (`flock`) on a file in the folder, so it ends with the process, however
    that ends. On NFS it holds between machines from Linux 2.6.12 on; where a file system has no
    locks, a warning says that nobody watches. Folders that were made and are still empty at the end
    are gone again.

    Args:
      folder: path.
      name: of the file; another for each thing in the folder that one process writes.
      what: what the folder is, for the message: a flag or a field.

    Raises:
      RunError: if another process holds it: its number, its machine and since when.
      OSError: if the folder cannot be made or written.
    """
    folder = pathlib.Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    try:
        file = _locked(path, what)
    except BaseException:
        _remove(missing)
        raise
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before another process can hold it
        file.close()
        _remove(missing)


def _locked(path, what):
    """The open file that holds the lock."""
    while True:
        file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115 - it holds the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NONE:
                logging.warning('%s: this file system has no locks; start no second process on '
                                'this folder.', path)
                return file
            owner = _owner(file)
            file.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise RunError(f'{what}: {path.parent} is in use by {owner}; expected to be the only '
                           'one: wait for its end, or take another folder.') from error
        if _is(path, file):
            break
        file.close()  # whoever held it has removed the file meanwhile
    file.truncate(0)
    json.dump({'pid': os.getpid(), 'host': socket.gethostname(),
               'since': datetime.datetime.now().astimezone().isoformat(timespec='seconds')}, file)
    file.flush()
    return file


def _is(path, file):
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _owner(file):
    try:
        file.seek(0)
        found = json.load(file)
        return f'process {found["pid"]} on {found["host"]} since {found["since"]}'
    except (OSError, ValueError, KeyError, TypeError):
        return 'another process'


def _remove(folders):
    for folder in folders:
        with contextlib.suppress(OSError):  # no longer empty
            folder.rmdir()
