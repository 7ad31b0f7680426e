"""Reads columns of CSV, TSV, JSON, text and Parquet files as text, the same from every kind.

* CSV and TSV: the cell as it stands in the file, without the quotes around it.
* JSON lines, and JSON files that hold one list of objects: the characters of a string; a number,
  `true` and `false` as they stand in the file.
* Text: each line is a path and then a class. A tab separates them; or else the first space after
  the ending of an image's name, such as `.jpg`; or else the last space. A line that ends with such
  an ending is a path alone. The columns are called image and label.
* Parquet, where a column is not text: whole numbers as 7, also those that are stored as floats;
  `true` and `false`; dates as 2020-01-31; times as 2020-01-31 12:30:00, at midnight the date alone;
  decimal numbers with all their places, as 1.50.
"""

import gzip
import json
import pathlib
import re
import zlib

import numpy as np

from bsce_tf import storage
from bsce_tf.data.listing import walk
from bsce_tf.errors import InputError

KINDS = {'.csv': 'csv', '.tsv': 'tsv', '.jsonl': 'jsonl', '.ndjson': 'jsonl', '.json': 'json',
         '.txt': 'txt', '.parquet': 'parquet'}
_PATH = re.compile(f'(.*?(?:{"|".join(map(re.escape, walk.ENDINGS))}))\\s+(.*)', re.IGNORECASE)
_EXACT = 2.0 ** 53  # up to here a float64 holds every whole number


def kind(path):
    """The kind of a file by its ending before any `.gz`: a value of `KINDS`, or None."""
    if storage.is_address(path):  # https://shop/list.csv?token=1
        path = path.partition('?')[0]
    endings = [ending.lower() for ending in pathlib.PurePath(path).suffixes]
    if endings[-1:] == ['.gz']:
        endings.pop()
    return KINDS.get(endings[-1] if endings else '')


def read(path, fields, optional=()):
    """Reads columns.

    Args:
      path: the file, or its address (see `storage`).
      fields: {name of a column: field of the config that names it}.
      optional: names of columns that may be missing.

    Returns:
      ({name: Arrow array of bytes `[N]`, null where a cell is missing}, names of all columns).

    Raises:
      InputError: if the file is not readable, lacks a column or has it twice, or a cell is not a
        text, number, date or truth value.
    """
    reader = {'csv': _csv, 'tsv': _csv, 'jsonl': _json_lines, 'json': _json, 'txt': _text,
              'parquet': _parquet}.get(kind(path))
    if reader is None:
        raise InputError(f'{path}: expected a name that ends with {", ".join(KINDS)}.')
    try:
        import pyarrow as pa
    except ImportError as error:
        raise InputError(f"{path}: tables need pyarrow: pip install 'bsce-tf[data]'.") from error
    try:
        names, column = reader(path, list(fields))
        for name, field in fields.items():
            if name not in names and name not in optional:
                raise InputError(f"{path}: no column '{name}' ({field}) among {', '.join(names)}.")
            if names.count(name) > 1:
                raise InputError(f"{path}: {names.count(name)} columns are called '{name}' "
                                 f'({field}); expected one.')
        return {name: column(name) for name in fields if name in names}, names
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        line = ' '.join(str(error).split())
        raise InputError(f'{path}: not a readable {kind(path)} file: {line}.') from error


def _csv(path, wanted):
    import pyarrow as pa
    import pyarrow.csv
    table = pa.csv.read_csv(
        _source(path),
        parse_options=pa.csv.ParseOptions(delimiter=',' if kind(path) == 'csv' else '\t',
                                          newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types={name: pa.binary() for name in wanted}))
    return table.column_names, lambda name: table[name].combine_chunks()


def _open(path):
    if not str(path).lower().endswith('.gz'):
        return storage.open_file(path)
    return gzip.open(storage.open_file(path) if storage.is_address(path) else path)


def _source(path):
    """What pyarrow reads: it opens files of this machine faster by itself."""
    return _open(path) if storage.is_address(path) else path


def _lines(path):
    """Yields (number from 1, text) of each line that is not empty."""
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode('utf-8-sig' if number == 1 else 'utf-8').strip()
            except UnicodeDecodeError as error:
                raise InputError(f'{path}: not a readable {kind(path)} file: line {number}: '
                                 f'{error}; expected UTF-8 text.') from error
            if text:
                yield number, text


def _json_lines(path, wanted):
    return _columns(path, ((f'line {number}', text) for number, text in _lines(path)), wanted,
                    _DECODER.decode)


def _json(path, wanted):
    with _open(path) as file:
        try:
            rows = _DECODER.decode(file.read().decode('utf-8-sig'))
        except (ValueError, RecursionError) as error:
            raise InputError(f'{path}: not a readable json file: {error}.') from error
    if type(rows) is not list:
        raise InputError(f'{path}: found a JSON {type(rows).__name__}; expected one list of '
                         'objects, one an image.')
    return _columns(path, ((f'entry {i}', row) for i, row in enumerate(rows, 1)), wanted,
                    lambda row: row)


def _columns(path, entries, wanted, decode):
    """(names of all columns, name → Arrow array) of JSON objects."""
    import pyarrow as pa
    cells, keys = {name: [] for name in wanted}, {}
    for place, entry in entries:
        try:
            row = decode(entry)
            if type(row) is not dict:
                raise ValueError('not an object')
            for name, values in cells.items():
                value = text_of(row.get(name))
                values.append(value if value is None else value.encode())
        except (ValueError, RecursionError) as error:
            raise InputError(f'{path}: not a readable {kind(path)} file: {place}: {error}; '
                             'expected a JSON object of text, numbers, true and false.') from error
        if not row.keys() <= keys.keys():
            keys.update(dict.fromkeys(row))
    return list(keys), lambda name: pa.array(cells[name], pa.binary())


def _text(path, wanted):
    import pyarrow as pa
    rows = [_path_and_label(text) for _, text in _lines(path)]
    names = ['image', 'label'] if any(len(row) == 2 for row in rows) else ['image']
    cells = {name: [row[i].strip().encode() if i < len(row) else None for row in rows]
             for i, name in enumerate(names)}
    return names, lambda name: pa.array(cells[name], pa.binary())


def text_of(value):
    """The text of a JSON value whose numbers were read as text; None of null.

    Raises:
      ValueError: of a list or an object.
    """
    if value is None or type(value) is str:
        return value
    if type(value) is bool:
        return 'true' if value else 'false'
    raise ValueError(f'found {str(value)[:80]}')


def _object(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f'a name comes twice in {str([name for name, _ in pairs])[:80]}')
    return found


# Numbers stay as they stand in the file.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str,
                            parse_constant=str)


def _path_and_label(text):
    if '\t' in text:
        return text.rsplit('\t', 1)
    if text.lower().endswith(walk.ENDINGS):
        return [text]
    found = _PATH.match(text)
    return found.groups() if found else text.rsplit(None, 1)


def _parquet(path, wanted):
    import pyarrow as pa
    import pyarrow.parquet
    file = pa.parquet.ParquetFile(storage.Ranges(path) if storage.is_address(path) else path)
    names = file.schema_arrow.names

    def column(name):
        return _canonical(file.read(columns=[name])[name].combine_chunks(), f"{path}: '{name}'")

    return names, column


def _canonical(column, where):
    """The text of a column of any simple type, as bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = _whole(column.cast(pa.float64()), where)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column.cast(pa.binary())
    is_time = pa.types.is_timestamp(column.type)
    try:
        column = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        more = ' Images within the file are read by data.source = parquet.' * pa.types.is_struct(
            column.type)
        raise InputError(f'{where} is a column of type {column.type}; expected text, numbers, '
                         f'dates or truth values.{more}') from error
    if is_time:
        for pattern in (r'\.0+$', ' 00:00:00$'):
            column = pc.replace_substring_regex(column, pattern, '')
    return column.cast(pa.binary())


def _whole(column, where):
    """Floats as int64, as Pandas writes 7.0 where a column has gaps; NaN is a gap."""
    import pyarrow as pa
    import pyarrow.compute as pc
    column = pc.if_else(pc.is_nan(column), None, column)
    values = column.to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~np.isnan(values) & ((np.floor(values) != values)
                                              | (np.abs(values) > _EXACT)))
    if bad.size:
        raise InputError(f'{where} holds {values[bad[0]]:g} in row {bad[0] + 1}; expected text or '
                         'whole numbers up to 2⁵³.')
    return column.cast(pa.int64())
