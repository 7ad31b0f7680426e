"""Writes files to addresses, and removes them."""

import contextlib

from bsce_tf.storage.facts import version
from bsce_tf.storage.patience import patiently


def write(address, data):
    """Writes bytes to an address, whole or not at all. Raises as `read`."""
    patiently(address, lambda system: system.pipe_file(address, data))


def send(path, address):
    """Writes a file of this machine to an address, whole or not at all; returns its `version`.

    Raises:
      InputError, StorageError: as `read`.
    """
    patiently(address, lambda system: system.put_file(str(path), address))
    return version(address)


def remove(address):
    """Removes a file, if it is there. Raises as `read`."""
    def gone(system):
        with contextlib.suppress(FileNotFoundError):
            system.rm_file(address)

    patiently(address, gone)
