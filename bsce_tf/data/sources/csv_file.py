"""Tables of images: CSV, TSV, JSON lines and Parquet, columns by name."""

import os
import pathlib

import numpy as np

from bsce_tf.data.sources import index_cache, listing
from bsce_tf.errors import InputError

_KINDS = {'.csv': 'csv', '.tsv': 'tsv', '.jsonl': 'jsonl', '.ndjson': 'jsonl',
          '.parquet': 'parquet'}


def load(*, root='', train='', validation='', test='', classes='', cache='', image_column='image',
         label_column='label'):
    """Reads the tables; a file's ending says its kind, `.gz` after it that it is compressed.

    Args:
      root: the data folder: what paths in the tables are relative to; empty for the folder of the
        training table.
      train: table of training images, absolute or relative to the working folder or to `root`.
      validation: the same; empty for none.
      test: the same; empty for none. Labels may be missing or empty throughout.
      classes: file of class names in the order of their ids; empty: names of the training table,
        by number if all are numbers, else by code point.
      cache: folder for the index, see `index_cache.cached`.
      image_column: name of the column of paths.
      label_column: name of the column of class names, strings or whole numbers.

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
            [path], ['csv', *columns], cache,
            lambda path=path: _build(path, *columns)) if path else None
    return listing.assemble(indexes, origins, lambda _, found: {'paths': found.paths, 'root': root},
                            classes)


def _find(root, name):
    inside = os.path.join(root, name)
    return inside if name and not os.path.exists(name) and os.path.exists(inside) else name


def _build(path, image_column, label_column):
    table = read_table(path, (image_column, label_column))
    if image_column not in table.column_names:
        raise InputError(f"{path}: no column '{image_column}' (data.image_column) among "
                         f'{", ".join(table.column_names)}.')
    if not len(table):
        raise InputError(f'{path}: no image found; expected at least one.')
    codes, names = _labels(table, label_column, path)
    return listing.index(path_bytes(table[image_column], path), codes, names, path)


def path_bytes(column, path):
    """A column of paths as NumPy bytes; see `listing.index`. Raises InputError where one lacks."""
    import pyarrow as pa
    try:
        paths = column.cast(pa.string()).combine_chunks()
    except pa.ArrowInvalid as error:
        raise InputError(f'{path}: paths of type {column.type}; expected text.') from error
    if paths.null_count:
        row = int(np.flatnonzero(paths.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f'{path}: row {row + 1} has no path; expected one in every row.')
    values = paths.cast(pa.binary()).to_numpy(zero_copy_only=False)
    return values.astype('S') if len(values) else np.array([], 'S1')


def _labels(table, name, path):
    """(codes, names) of a column of classes, which is missing where a test set has no labels."""
    import pyarrow as pa
    import pyarrow.compute as pc
    if name not in table.column_names:
        return np.full(len(table), -1), []
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        # Pandas writes whole numbers as 7.0 where a column has gaps.
        whole = pc.all(pc.equal(column, pc.floor(column))).as_py()
        if whole is False:
            raise InputError(f"{path}: column '{name}' holds fractions; expected class names or "
                             'whole numbers.')
        column = column.cast(pa.int64())
    try:
        column = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: column '{name}' is of type {column.type}; expected class names "
                         'or whole numbers.') from error
    column = pc.if_else(pc.equal(column, ''), None, column)
    coded = column.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, coded.dictionary.to_pylist()


def read_table(path, columns):
    """The columns of a file that exist, as an Arrow table."""
    kind = _kind(path)
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.json
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"{path}: tables need pyarrow: pip install 'bsce-tf[data]'.") from error
    try:
        if kind == 'parquet':
            found = set(pa.parquet.read_schema(path).names)
            wanted = [name for name in columns if name in found]
            table = pa.parquet.read_table(path, columns=wanted or None)
        elif kind == 'jsonl':
            table = pa.json.read_json(path)
        else:
            table = pa.csv.read_csv(
                path, parse_options=pa.csv.ParseOptions(delimiter=',' if kind == 'csv' else '\t'),
                convert_options=pa.csv.ConvertOptions(
                    column_types={name: pa.string() for name in columns}))
    except (pa.ArrowException, OSError) as error:
        line = ' '.join(str(error).split())
        raise InputError(f'{path}: not a readable {kind} file: {line}.') from error
    return table


def _kind(path):
    endings = [ending.lower() for ending in pathlib.PurePath(path).suffixes]
    if endings[-1:] == ['.gz']:
        endings.pop()
    kind = _KINDS.get(endings[-1] if endings else '')
    if kind is None:
        raise InputError(f'{path}: expected a name that ends with {", ".join(_KINDS)}.')
    return kind
