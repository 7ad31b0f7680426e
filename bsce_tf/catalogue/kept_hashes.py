"""Hashes of images that stay in a file, so that no image is read a second time for them."""

import hashlib
import os
import threading

import numpy as np

from bsce_tf.data.reading import records


def _entry(words):
    return np.dtype([('name', '<u8', 2), ('state', '<i8', 2), ('hash', '<u8', words)])


class KeptHashes:
    """A file of hashes. It grows as images are hashed; what a killed process wrote stays.

    A hash counts as long as its image's state is the same: of a file its size and time of change in
    nanoseconds; of a packed image the checksums of all, see `records.contents`.

    Args:
      path: of the file, which is made if it is missing.
      examples: an `Examples` of files or of records with facts.
      words: 64-bit words of a hash.
      about: what else hashes depend on, as text.
    """

    def __init__(self, path, examples, words=2, about=''):
        self._entry, self._about = _entry(words), about.encode()
        self._path, self._names = path, records.names(examples)
        self._root = None
        if examples.paths is not None:
            self._root = os.path.join(os.fsencode(os.path.abspath(examples.root)), b'')
            self._prefix = self._root
        else:
            told = records.fingerprint(examples) + records.contents(examples)
            self._prefix = told.encode()
        self._known = _read(path, self._entry)
        self._file = open(path, 'ab')  # noqa: SIM115 as long as images are hashed
        self._lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def entries(self, first, last):
        """Structured array of the images from `first` to before `last`; unknown hashes are 0."""
        found = np.zeros(last - first, self._entry)
        for entry, name in zip(found, self._names[first:last].tolist(), strict=True):
            place = self._prefix + name
            digest = hashlib.blake2b(place + self._about, digest_size=16).digest()
            entry['name'] = np.frombuffer(digest, '<u8')
            if self._root is not None:
                try:
                    facts = os.stat(place)
                except OSError:
                    continue  # the read that follows reports it
                entry['state'] = facts.st_size, facts.st_mtime_ns
        places = np.searchsorted(self._known['name'][:, 0], found['name'][:, 0])
        places = np.minimum(places, len(self._known) - 1)
        if len(self._known):
            there = self._known[places]
            same = ((there['name'] == found['name']) & (there['state'] == found['state'])).all(1)
            found['hash'][same] = there['hash'][same]
        return found

    def add(self, entries):
        """Keeps entries whose hash is new."""
        with self._lock:
            self._file.write(entries.tobytes())
            self._file.flush()


def _read(path, entry):
    """Entries by name, of each name the last one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return np.zeros(0, entry)
    whole = len(data) // entry.itemsize * entry.itemsize
    if whole < len(data):  # the process was killed while it wrote
        os.truncate(path, whole)
    entries = np.frombuffer(data[:whole], entry)[::-1]
    return entries[np.unique(entries['name'][:, 0], return_index=True)[1]]
