"""Readers of encoded images, all with the same face: files, shards and data sets of others."""

import hashlib
import os
import stat

import numpy as np

from bsce_tf.errors import InputError


class Records:
    """A choice of the images of a store.

    Args:
      store: object with `read(numbers)`, int64 `[n]` → list of n bytes, that any number of threads
        may call at once.
      names: NumPy bytes array `[N]` (dtype `S`), UTF-8: a name for each image, for messages.
      numbers: int `[N]`, the number of each image in the store; None: 0 … N−1.
    """

    def __init__(self, store, names, numbers=None):
        self._store = store
        self.names = names
        self._numbers = np.arange(len(names)) if numbers is None else np.asarray(numbers, np.int64)

    def __len__(self):
        return len(self._numbers)

    def read(self, indices):
        """The encoded images at `indices` (int `[n]`), in that order, as a list of bytes.

        Raises:
          InputError: if an image cannot be read.
        """
        return self._store.read(self._numbers[np.asarray(indices, np.int64)])

    def subset(self, indices):
        """The images at `indices`, in that order, as another `Records`."""
        indices = np.asarray(indices, np.int64)
        return Records(self._store, self.names[indices], self._numbers[indices])


class Files:
    """A store of image files.

    Args:
      root: the data folder.
      paths: NumPy bytes array `[N]`, relative to `root`.
    """

    def __init__(self, root, paths):
        self._root = os.fsencode(root)
        self._paths = paths

    def read(self, numbers):
        """Bytes of the files at `numbers`; an `InputError` names one that cannot be read."""
        return [read_file(os.path.join(self._root, bytes(self._paths[number])))
                for number in numbers]


def read_file(path):
    """Bytes of the file at `path` (bytes); an `InputError` names one that cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would wait for ever
            raise OSError(None, 'not a file')
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        # 'replace': the message goes into logs and tables, which are text
        raise InputError(f'{path.decode("utf-8", "replace")}: {error.strerror}; expected an image '
                         'file.') from error


def of(examples):
    """`Records` of an `Examples` whose images are encoded, in files or in records.

    Raises:
      InputError: if the images are in memory, decoded.
    """
    if examples.records is not None:
        return examples.records
    if examples.paths is None:
        raise InputError(f'{examples.origin}: these images are in memory, decoded; expected image '
                         'files or records (data.source).')
    return Records(Files(examples.root, examples.paths), examples.paths)


def names(examples):
    """NumPy bytes array `[N]`: the name of each image, as clean lists have it."""
    if examples.paths is not None:
        return examples.paths
    if examples.records is not None:
        return examples.records.names
    numbers = np.arange(len(examples)) if examples.numbers is None else examples.numbers
    return np.strings.add(b'image ', numbers.astype('S'))


def fingerprint(examples):
    """Hex digest of labels, names of images and classes: what the same list of data has again."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(examples.labels).tobytes())
    for values in (names(examples), (name.encode() for name in examples.class_names)):
        for value in values:
            digest.update(bytes(value) + b'\n')
        digest.update(b'\n')
    return digest.hexdigest()
