"""Tables of images: CSV, TSV, JSON lines and Parquet, columns by name."""

import os

import numpy as np
from absl import logging

from bsce_tf.data.sources import index_cache, listing, tables
from bsce_tf.errors import InputError

_VERSION = 2  # of the meaning of a cell, for the index


def load(*, root='', train='', validation='', test='', classes='', cache='', image_column='image',
         label_column='label'):
    """Reads the tables; a file's ending says its kind, `.gz` after it that it is compressed.

    Args:
      root: the data folder: what paths in the tables are relative to; empty for the folder of the
        training table.
      train: table of training images, absolute or relative to the working folder or to `root`.
      validation: the same; empty for none.
      test: the same; empty for none. The column of labels may be missing, or empty throughout.
      classes: file of class names in the order of their ids; empty: names of the training table,
        by number if all are numbers, else by code point.
      cache: folder for the index, see `index_cache.cached`.
      image_column: name of the column of paths.
      label_column: name of the column of class names; see `tables` for the text of numbers, dates
        and truth values.

    Returns:
      `Splits`.

    Raises:
      InputError: if a table or column is missing, a cell is empty or a path leaves the data folder.
    """
    if not train:
        raise InputError('data.train: empty; expected a .csv, .tsv, .jsonl or .parquet file.')
    lists = {'train': train, 'validation': validation, 'test': test}
    origins = {split: _find(root, name) for split, name in lists.items()}
    root = root or os.path.dirname(origins['train']) or '.'
    columns = (image_column, label_column)
    indexes = {}
    for split, path in origins.items():
        indexes[split] = index_cache.cached(
            [path], ['csv', _VERSION, *columns], cache,
            lambda path=path, split=split: _build(path, split, *columns)) if path else None
    return listing.assemble(indexes, origins, lambda _, found: {'paths': found.paths, 'root': root},
                            classes)


def _find(root, name):
    inside = os.path.join(root, name)
    return inside if name and not os.path.exists(name) and os.path.exists(inside) else name


def _build(path, split, image_column, label_column):
    fields = {image_column: 'data.image_column', label_column: 'data.label_column'}
    columns, names = tables.read(path, fields, (label_column,) if split == 'test' else ())
    paths = path_bytes(columns[image_column], path)
    if not len(paths):
        raise InputError(f'{path}: no image found; expected at least one.')
    if label_column not in columns:
        logging.warning("%s: no column '%s' (data.label_column) among %s; taken as images without "
                        'labels.', path, label_column, ', '.join(names))
        return listing.index(paths, np.full(len(paths), -1), [], path)
    return listing.index(paths, *labels_of(columns[label_column], label_column, path), path)


def path_bytes(column, path):
    """An Arrow array of paths as NumPy bytes. Raises InputError where one is missing."""
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f'{path}: row {row + 1} has no path; expected one in every row.')
    values = column.to_numpy(zero_copy_only=False)
    return values.astype('S') if len(values) else np.array([], 'S1')


def labels_of(column, name, path):
    """(codes, names) of an Arrow array of class names; −1 where one is empty."""
    coded = column.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = coded.dictionary.to_pylist()
    for code, label in enumerate(names):
        try:
            names[code] = label.decode()
        except UnicodeDecodeError as error:
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(f"{path}: the label {label!r} in row {row + 1} of column '{name}' is "
                             'not UTF-8; expected UTF-8 text.') from error
    if '' in names:
        empty = names.index('')
        codes = np.where(codes == empty, -1, codes - (codes > empty))
        del names[empty]
    return codes, names
