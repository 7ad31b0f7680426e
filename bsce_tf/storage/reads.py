"""Reads files at addresses: whole, in parts, or into a file of this machine."""

import io
import os
import shutil

from absl import logging

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.storage.addresses import is_address
from bsce_tf.storage.facts import exists, info, version
from bsce_tf.storage.patience import patiently

_PIECE = 2**24  # bytes that are fetched at a time of a large file


def read(address):
    """The bytes of a file.

    Raises:
      InputError: if there is no such file, or it may not be read.
      StorageError: if the place did not answer for `PATIENCE` seconds, or wants other credentials.
    """
    return patiently(address, lambda system: system.cat_file(address))


def fetch(address, path, check=lambda temporary: None):
    """Writes the bytes of a file at an address to `path`, which is whole or stays as it was.

    Args:
      address: string.
      path: of a file of this machine.
      check: function of the path of what was fetched, before it gets its name.

    Raises:
      InputError, StorageError: as `read`, and what `check` raises; InputError if the file was
        written anew meanwhile.
      OSError: if `path` cannot be written.
    """
    before = version(address)
    with Ranges(address) as source, files.replacing(path) as temporary:
        files.check_space(os.path.dirname(path), source.size)
        with open(temporary, 'wb') as target:
            shutil.copyfileobj(source, target, _PIECE)
        check(temporary)
        if version(address) != before:
            raise InputError(f'{address}: was written while it was read; expected a file that is '
                             'not being written.')


def open_file(path):
    """A binary file to read from, of this machine or of an address; OSError as `open` raises it."""
    return io.BytesIO(read(path)) if is_address(path) else open(path, 'rb')


class Ranges(io.RawIOBase):
    """A binary file at an address, of which only what is read is fetched.

    Of a server that sends no parts, the whole file is kept once it was asked for any; a line of the
    log says so.

    Args:
      address: string.

    Attributes:
      size: in bytes.

    Raises:
      InputError: if there is no such file, or its size is not told or not right.
      StorageError: as `read`.
    """

    def __init__(self, address):
        super().__init__()
        self._address, self._place, self._whole = address, 0, None
        self.size = (info(address) or {}).get('size')
        if self.size is None:
            missing = 'no such file' if not exists(address) else 'its size is not told'
            raise InputError(f'{address}: {missing}; expected a file of known size.')

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._place

    def seek(self, offset, whence=io.SEEK_SET):
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place,
                                io.SEEK_END: self.size}[whence]
        return self._place

    def read(self, size=-1):
        start = min(self._place, self.size)
        end = self.size if size is None or size < 0 else min(start + size, self.size)
        if start == end:
            return b''
        self._place = end
        if self._whole is not None:
            return self._whole[start:end]
        data = patiently(self._address, lambda system: system.cat_file(
            self._address, start=start, end=end))
        if len(data) == end - start:
            return data
        if len(data) != self.size:
            raise InputError(f'{self._address}: {len(data)} bytes were sent for {start} to {end} '
                             f'of {self.size}; expected these. Is the file being written?')
        logging.warning('%s: the server sends no parts of files; its %d bytes stay in memory.',
                        self._address, self.size)
        self._whole = data
        return data[start:end]
