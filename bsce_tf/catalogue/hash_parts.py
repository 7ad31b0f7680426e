"""What one part of an `inspect` has made of its images, a file for each part; see `division`."""

import json
import zipfile

import numpy as np

from bsce_tf import files
from bsce_tf.catalogue import hashes
from bsce_tf.data.reading import records

_STEP = 1024  # images; parts are whole steps


def facts_of(examples):
    """What tells a set of images from another, as a list of text."""
    return [records.fingerprint(examples), records.contents(examples)]


class HashParts:
    """What is made of the images of one split.

    Args:
      workdir: pathlib.Path.
      split: its name.
      examples: an `Examples`.
      facts: of `facts_of`.
      kind: a `hashes.Kind`.
    """

    def __init__(self, workdir, split, examples, facts, kind):
        self._kind = kind
        self._workdir, self._split, self._examples = workdir, split, examples
        self._about = json.dumps([*facts, kind.about] if kind.about else facts)

    def make(self, part):
        """Hashes the images of a part, a `division.Division`."""
        first, end = part.span(len(self._examples), _STEP)
        found, unreadable = np.zeros((0, self._kind.words), '<u8'), []
        if first < end:
            found, unreadable = hashes.digests(
                self._examples.subset(np.arange(first, end)), self._split,
                kept=self._workdir / f'{self._kind.name}.{part.name}.bin', kind=self._kind)
        with files.replacing(self._path(part)) as temporary, open(temporary, 'wb') as file:
            np.savez(file, hashes=found, unreadable=json.dumps(unreadable), about=self._about)

    def made(self, part):
        """Whether the hashes of a part are there, and of these images."""
        try:
            with np.load(self._path(part), allow_pickle=False) as stored:
                return str(stored['about']) == self._about
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False

    def joined(self, parts):
        """What `hashes.digests` gives of the whole split."""
        found = [self._read(part) for part in parts]
        return (np.concatenate([hashed for hashed, _ in found]),
                [entry for _, unreadable in found for entry in unreadable])

    def remove(self, parts):
        """Removes the files of all parts."""
        for part in parts:
            files.remove(self._path(part))

    def _path(self, part):
        return part.file(self._workdir / f'{self._kind.name}_{self._split}.npz')

    def _read(self, part):
        with np.load(self._path(part), allow_pickle=False) as stored:
            return stored['hashes'], json.loads(str(stored['unreadable']))
