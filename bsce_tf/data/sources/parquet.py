"""Parquet files that hold the images themselves, as Hugging Face's `datasets` writes them.

A row has `image`, a struct of `bytes` and `path` or the bytes alone, and `label`, a number or a
text. A file is read one row group at a time, so reading images in random order is much slower than
in the order of the files: `bsce pack` turns a large set into one that trains fast.
"""

import collections
import contextlib
import hashlib
import json
import os
import threading

import numpy as np
from absl import logging

from bsce_tf import storage
from bsce_tf.data import texts
from bsce_tf.data.listing import image_lists, index_cache, walk
from bsce_tf.data.reading.records import Records
from bsce_tf.data.sources import csv_file
from bsce_tf.errors import InputError

# Names of files for each split, as on Hugging Face: train-00000-of-00004.parquet, in data/ or not.
_PATTERNS = {'train': ('train*.parquet', 'data/train*.parquet'),
             'validation': ('val*.parquet', 'data/val*.parquet'),
             'test': ('test*.parquet', 'data/test*.parquet')}
_KEPT = 4  # row groups in memory


def load(*, root, train='', validation='', test='', classes='', cache='', image_column='image',
         label_column='label', group_column=''):
    """Reads the labels and finds each image's row; the index cache keeps the result.

    Args:
      root: the data folder, or its address, see `storage`. Of files there, only what is read is
        fetched. A web server lists no files: `train`, `validation` and `test` name one each.
      train: pattern of the training files relative to `root`; empty for `train*.parquet`, there or
        in `data/`.
      validation: the same for validation; empty for `val*.parquet` if there are such files.
      test: the same for testing; empty for `test*.parquet` if there are such files. All its labels
        may be missing or −1.
      classes: file of class names in the order of their ids; empty: the names that `datasets`
        stores in the file for numeric labels, or else the labels as text, see `tables`.
      cache: folder for the index, see `index_cache.cached`.
      image_column: name of the column of images.
      label_column: name of the column of labels.
      group_column: name of the column of groups, see `Examples.groups`; empty for none. Files of
        validation or test images may lack it.

    Returns:
      `Splits`; names of images are `<file>:<row from 0>`.

    Raises:
      InputError: if files or columns are missing, or a file is damaged or of another layout.
    """
    indexes, origins = {}, {}
    columns = (image_column, label_column, *filter(None, [group_column]))
    for split, pattern in (('train', train), ('validation', validation), ('test', test)):
        pattern, found = _files(root, pattern, split)
        origins[split] = storage.below(root, pattern)
        paths = [storage.below(root, name) for name in found]
        if split == 'train':
            _warn_of_groups(origins[split], paths)
        indexes[split] = index_cache.cached(
            paths, ['parquet', root, *columns], cache,
            lambda names=found, split=split: _build(
                root, names, origins[split], split, *columns)) if paths else None
    return image_lists.assemble(indexes, origins, lambda _, index: {
        'records': Records(Rows(root, index.paths, image_column), index.paths)}, classes)


def _warn_of_groups(origin, paths):
    groups = 0
    for path in paths:
        with _opened(path) as file:
            groups += file.metadata.num_row_groups
        if groups > _KEPT:
            logging.warning('%s: Parquet files are read one row group at a time, which is slow in '
                            'random order; bsce pack makes a set that trains fast.', origin)
            return


def _files(root, pattern, split):
    """(pattern, names of its files); none where the split is optional and was not named."""
    usual = () if storage.scheme(root) in storage.WEB else _PATTERNS[split]
    for tried in (pattern,) if pattern else usual:
        if names := walk.matching(root, tried):
            return tried, names
    if pattern or split == 'train':
        if not pattern and not usual:
            raise InputError(f'data.train: empty, and {root} is on a web server, which lists no '
                             'files; expected the name of a Parquet file there.')
        raise InputError(f"{root}: no file fits '{pattern or ' or '.join(usual)}'; expected "
                         'Parquet files that hold images.')
    return '', []


def _build(root, files, origin, split, image_column, label_column, group_column=''):
    names, codes, ids, groups = [], [], {}, []
    for file in files:
        labels, own = _labels(storage.below(root, file), split, image_column, label_column,
                              group_column)
        groups.append(own)
        names += [os.fsencode(file) + b':%d' % row for row in range(len(labels))]
        codes += [-1 if label is None else ids.setdefault(label, len(ids)) for label in labels]
    if not names:
        raise InputError(f'{origin}: no image found; expected at least one.')
    return image_lists.index(names, codes, list(ids), origin,
                         texts.joined(groups) if group_column else None)


def _labels(path, split, image_column, label_column, group_column):
    """(class name of each row of a file, None where it has none; group of each, `Texts`)."""
    columns, names = csv_file.read_columns(path, split, '', label_column, group_column)
    with _opened(path) as file:
        if image_column not in names:
            raise InputError(f"{path}: no column '{image_column}' (data.image_column) among "
                             f'{", ".join(names)}.')
        _check_images(path, image_column, file.schema_arrow.field(image_column).type)
        rows, metadata = file.metadata.num_rows, file.schema_arrow.metadata or {}
    groups = csv_file.groups_of(columns.get(group_column), rows)
    if label_column not in columns:
        return [None] * rows, groups
    codes, labels = csv_file.labels_of(columns[label_column], label_column, path)
    named = _named(labels, _class_names(metadata, label_column), path, label_column)
    return [None if code < 0 else named[code] for code in codes], groups


def _named(texts, known, path, label_column):
    """Class names of labels, None for −1; the file's own names where it has them for numbers."""
    named = []
    for text in texts:
        number = int(text) if known and text.isdecimal() else -1
        if known and text != '-1' and not 0 <= number < len(known):
            raise InputError(f"{path}: the label '{text}' in column '{label_column}'; expected "
                             f'0 to {len(known) - 1}, as the file names {len(known)} classes, or '
                             '-1.')
        named.append(None if text == '-1' else known[number] if known else text)
    return named


def _class_names(metadata, label_column):
    """The names that `datasets` writes for the numbers of a column; None where there are none."""
    try:
        features = json.loads(metadata[b'huggingface'])['info']['features']
        return features[label_column]['names']
    except (KeyError, TypeError, ValueError):
        return None


def _check_images(path, name, kind):
    import pyarrow as pa
    if pa.types.is_struct(kind) and 'bytes' in [field.name for field in kind]:
        return
    if not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
        raise InputError(f"{path}: '{name}' is a column of type {kind}; expected the bytes of "
                         'images, or struct<bytes, path>. For paths of image files take '
                         'data.source = csv.')


def _opened(path):
    import pyarrow as pa
    import pyarrow.parquet
    try:
        return pa.parquet.ParquetFile(storage.Ranges(path) if storage.is_address(path) else path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f'{path}: not a readable parquet file: {" ".join(str(error).split())}.'
                         ) from error


class Rows:
    """A store of the images in Parquet files.

    Args:
      root: the data folder.
      names: `texts.Texts` `[N]` of `<file>:<row>`.
      column: name of the column of images.
    """

    in_order = True  # a row group is read whole, and few are kept

    def __init__(self, root, names, column):
        self._root, self._names, self._column = root, names, column
        self._begin()

    def _begin(self):
        self._lock = threading.Lock()
        self._starts = {}  # file → first row of each of its row groups, and the end
        self._far = {}  # address → its file, which stays open: its footer was fetched
        self._groups = collections.OrderedDict()  # (file, group) → its images, last used last

    def __getstate__(self):
        return self._root, self._names, self._column

    def __setstate__(self, state):
        self._root, self._names, self._column = state
        self._begin()

    def read(self, numbers):
        """Images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        places = []
        for i, number in enumerate(numbers):
            file, _, row = self._names[number].rpartition(b':')
            places.append((file, int(row), i))
        images = [None] * len(places)
        for file, row, i in sorted(places):
            images[i] = self._image(storage.below(self._root, os.fsdecode(file)), row)
        return images

    def files_digest(self, numbers):
        """Hex digest of the size and the footer of each file that holds an image at `numbers`.

        The footer has place and size of each column of each row group, and least and largest values
        where they were written. A missing or damaged file is reported when it is read.
        """
        digest = hashlib.sha256()
        for name in sorted({name.rpartition(b':')[0] for name in self._names[numbers].tolist()}):
            try:
                path = storage.below(self._root, os.fsdecode(name))
                with storage.Ranges(path) if storage.is_address(path) else open(path, 'rb') as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(size - 8, 0))
                    length = int.from_bytes(file.read(4), 'little')
                    file.seek(max(size - 8 - length, 0))
                    digest.update(b'%d %s' % (size, file.read()))
            except OSError:
                digest.update(b'unreadable')
        return digest.hexdigest()

    def _image(self, path, row):
        import pyarrow as pa
        with self._lock:
            try:
                value = self._value(path, row)
            except (pa.ArrowException, OSError, IndexError) as error:
                raise InputError(f'{path}:{row}: {" ".join(str(error).split())}; expected a '
                                 'Parquet file that holds images.') from error
        if not value:
            raise InputError(f'{path}:{row}: no bytes of an image; expected some.')
        return value

    def _opened(self, path):
        if not storage.is_address(path):
            return _opened(path)
        if path not in self._far:
            self._far[path] = _opened(path)
        return contextlib.nullcontext(self._far[path])

    def _value(self, path, row):
        if path not in self._starts:
            with self._opened(path) as file:
                sizes = [file.metadata.row_group(g).num_rows
                         for g in range(file.metadata.num_row_groups)]
            self._starts[path] = np.cumsum([0, *sizes])
        group = int(np.searchsorted(self._starts[path], row, side='right')) - 1
        key = path, group
        if key not in self._groups:
            with self._opened(path) as file:
                table = file.read_row_group(group, [self._column])
            self._groups[key] = table[self._column].combine_chunks()
            if len(self._groups) > _KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        value = self._groups[key][row - int(self._starts[path][group])].as_py()
        return value.get('bytes') if isinstance(value, dict) else value
