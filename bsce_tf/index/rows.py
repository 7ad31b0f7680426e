"""The rows of an index: of each image its id, class, place and the hash of its bytes."""

import os
from typing import NamedTuple

import numpy as np

from bsce_tf.data import clean_list, texts
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

COLUMNS = ('id', 'label', 'path', 'origin', 'content')


class Rows(NamedTuple):
    """The N images of an index, by rising id. An id is never given twice.

    Attributes:
      ids: int64 `[N]`, rising.
      labels: int32 `[N]`, places in `class_names`.
      class_names: tuple of the names of the C classes.
      paths: `texts.Texts` `[N]`: names of the images, as `records.names` has them.
      origins: int32 `[N]`, places in `origin_names`.
      origin_names: tuple of folders or sets that the images are from.
      contents: uint64 `[N, 2]`, hashes of the images' bytes, see `catalogue.hashes`.
    """

    ids: np.ndarray
    labels: np.ndarray
    class_names: tuple
    paths: texts.Texts
    origins: np.ndarray
    origin_names: tuple
    contents: np.ndarray

    def __len__(self):
        return len(self.ids)

    def kept(self, chosen):
        """The rows at `chosen` (bool `[N]`); classes without an image are left out."""
        labels, names = _used(self.labels[chosen], self.class_names)
        origins, origin_names = _used(self.origins[chosen], self.origin_names)
        return Rows(self.ids[chosen], labels, names, self.paths[np.flatnonzero(chosen)], origins,
                    origin_names, self.contents[chosen])

    def joined(self, other):
        """These rows and those of `other`, whose ids are all larger."""
        labels, names = _merged(self.labels, self.class_names, other.labels, other.class_names)
        origins, origin_names = _merged(self.origins, self.origin_names, other.origins,
                                        other.origin_names)
        return Rows(np.concatenate([self.ids, other.ids]), labels, names,
                    texts.joined([self.paths, other.paths]), origins, origin_names,
                    np.concatenate([self.contents, other.contents]))

    def places(self, ids):
        """int64: place of each id, of any shape; −1 for an id that is not there."""
        if not len(self):
            return np.full(np.shape(ids), -1, np.int64)
        found = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        return np.where(self.ids[found] == ids, found, -1)

    def keys(self):
        """List of (hash as two numbers, class name): what makes two rows the same."""
        return [(a, b, self.class_names[label]) for (a, b), label in zip(
            self.contents.tolist(), self.labels.tolist(), strict=True)]

    def files(self):
        """List of (origin, path): where each image is."""
        return [(self.origin_names[origin], path) for origin, path in zip(
            self.origins.tolist(), self.paths.tolist(), strict=True)]


def of(ids, examples, origin, contents):
    """`Rows` of labelled `Examples`; classes without an image are left out."""
    labels, names = _used(examples.labels, examples.class_names)
    return Rows(np.asarray(ids, np.int64), labels, names, texts.of(records.names(examples)),
                np.zeros(len(examples), np.int32), (origin,), contents)


def empty():
    """`Rows` of no image."""
    return Rows(np.zeros(0, np.int64), np.zeros(0, np.int32), (), texts.of([]),
                np.zeros(0, np.int32), (), np.zeros((0, 2), np.uint64))


def write(path, rows):
    """Writes `Rows` as a CSV file with the columns `COLUMNS`, whole or not at all."""
    clean_list.write_rows(path, COLUMNS, (
        (number, rows.class_names[label], path, rows.origin_names[origin], f'{a:016x}{b:016x}')
        for number, label, path, origin, (a, b) in zip(
            rows.ids.tolist(), rows.labels.tolist(), rows.paths.tolist(), rows.origins.tolist(),
            rows.contents.tolist(), strict=True)))


def read(path):
    """The `Rows` that `write` wrote.

    Raises:
      InputError: if the file is missing or has other columns, or if a line is not as expected.
    """
    ids, labels, paths, origins, contents, names, places = [], [], [], [], [], {}, {}
    with clean_list.rows(path, 'the rows of an index') as lines:
        header = next(lines, [])
        if tuple(header) != COLUMNS:
            raise InputError(f'{path}: found the columns {", ".join(header)}; expected '
                             f'{", ".join(COLUMNS)}, as --mode=index writes them.')
        for row in lines:
            try:
                number, label, name, origin, content = row
                ids.append(int(number))
                contents.append((int(content[:16], 16), int(content[16:], 16)))
                if len(content) != 32 or ids[-1] <= (ids[-2] if len(ids) > 1 else -1):
                    raise ValueError
            except ValueError as error:
                raise InputError(f'{path}: line {lines.line_num}: found {row!r:.100}; expected '
                                 f'{", ".join(COLUMNS)}, with rising ids.') from error
            labels.append(names.setdefault(label, len(names)))
            paths.append(os.fsencode(name))
            origins.append(places.setdefault(origin, len(places)))
    return Rows(np.array(ids, np.int64), np.array(labels, np.int32), tuple(names),
                texts.of(paths), np.array(origins, np.int32), tuple(places),
                np.array(contents, np.uint64).reshape(-1, 2))


def _used(codes, names):
    """(codes of the names that are used alone, these names), in the order of `names`."""
    used, codes = np.unique(codes, return_inverse=True)
    return codes.astype(np.int32), tuple(names[k] for k in used)


def _merged(first, names, second, others):
    """(codes of both in joined names, those names)."""
    known = {name: k for k, name in enumerate(names)}
    place = np.array([known.setdefault(name, len(known)) for name in others], np.int32)
    return np.concatenate([first, place[second]]).astype(np.int32), tuple(known)
