"""Rows of a CSV file by key, which several processes on one machine may add to."""

import contextlib
import csv
import fcntl
import pathlib

from bsce_tf import files


def read(path, key):
    """{tuple of the cells of the columns `key`: row as a dict of strings}; {} without a file."""
    if not pathlib.Path(path).exists():
        return {}
    with open(path, newline='', encoding='utf-8') as file:
        return {tuple(row[name] for name in key): row for row in csv.DictReader(file)}


def add(path, key, row, lock):
    """Adds a row to what is in the file by now; returns all as `read`.

    Args:
      path: CSV file.
      key: names of the columns that tell rows apart.
      row: dict.
      lock: file that only one process holds at a time.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        found = {**read(path, key), tuple(row[name] for name in key): row}
        with (files.replacing(path) as temporary,
              open(temporary, 'w', newline='', encoding='utf-8') as file):
            columns = dict.fromkeys(name for other in found.values() for name in other)
            writer = csv.DictWriter(file, columns, restval='', lineterminator='\n')
            writer.writeheader()
            writer.writerows(found.values())
    return found


@contextlib.contextmanager
def claimed(path):
    """Holds a lock file during the block if no other process does; gives whether this one does.

    The system lets go of it when the process ends, however it ends.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.contextmanager
def locked(path):
    """Holds a lock file during the block; waits for a process that holds it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
