"""Locks a folder, so that only one process at a time writes to it."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket

from absl import logging

from bsce_tf.errors import InUseError

NAME = '.lock'

# Errors of file systems without locks.
_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextlib.contextmanager
def held(folder, name=NAME, what='--workdir', shared=False):
    """Locks a folder until the block ends. Makes the folder if it is missing.

    The lock is the kernel's (`flock`), on a file in the folder, so it always ends with the process.
    On NFS it works between machines from Linux 2.6.12 on. On a file system without locks a warning
    is logged instead. Folders that were made here and are empty at the end are removed.

    Args:
      folder: path.
      name: of the lock file; each thing in the folder that is locked by itself has its own.
      what: the flag or field that names the folder, for the message.
      shared: whether others may hold the lock at once that ask for it as shared, too.

    Raises:
      InUseError: (a RunError) if another process holds the lock; names its id, its machine and the
        time.
      OSError: if the folder cannot be made or written.
    """
    folder = pathlib.Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    try:
        file = _locked(path, what, shared)
    except BaseException:
        _remove(missing)
        raise
    try:
        yield
    finally:
        if not shared or _alone(file):
            path.unlink(missing_ok=True)  # before the lock is released
        file.close()
        _remove(missing)


def _alone(file):
    """Whether nobody else holds a lock, which then is no longer shared."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked(path, what, shared):
    """The open file that holds the lock."""
    while True:
        file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115 - it holds the lock
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NONE:
                logging.warning('%s: this file system has no locks; start no second process on '
                                'this folder.', path)
                return file
            owner = _owner(file)
            file.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise InUseError(f'{what}: {path.parent} is in use by {owner}; expected to be the only '
                             'one: wait for its end, or take another folder.') from error
        if _is(path, file):
            break
        file.close()  # its last holder has removed the file meanwhile
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
