"""Label maps: class names in the order of their ids. Saves, loads and compares them."""

import csv
import io
import json
import pathlib
import unicodedata

import numpy as np

from bsce_tf import files, storage
from bsce_tf.errors import InputError


def save(path, class_names):
    """Writes class names, whole or not at all.

    Args:
      path: file to write: `.json`, a list of names whose position is the class id, or `.csv`, with
        the columns `label` (class id) and `name`.
      class_names: K names.

    Raises:
      InputError: if the file has another ending.
    """
    if _ending(path) == '.json':
        files.write_text(path, json.dumps(list(class_names), ensure_ascii=False, indent=0) + '\n')
        return
    text = io.StringIO()
    writer = files.csv_writer(text)
    writer.writerow(['label', 'name'])
    writer.writerows(enumerate(class_names))
    files.write_text(path, text.getvalue())


def load(path):
    """Reads what `save` writes.

    Returns:
      Tuple of K names.

    Raises:
      InputError: if the file is missing or damaged, a name occurs twice or an id is missing.
    """
    reader = _load_json if _ending(path) == '.json' else _load_csv
    try:
        with storage.open_file(path) as file:
            text = file.read().decode('utf-8-sig')  # line ends stay within cells
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected a file of class names.') from error
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: not UTF-8 text; expected a file of class names.') from error
    names = reader(path, text)
    if not names:
        raise InputError(f'{path}: no class name found; expected at least one.')
    seen = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: class '{name}' comes twice; expected each name once.")
        seen.add(name)
    return tuple(names)


def check(names, others, where='the training map', others_where='the other map'):
    """Compares two label maps.

    Args:
      names: K class names, position = class id.
      others: the class names to compare with.
      where: what to call `names` in the message, such as its file.
      others_where: what to call `others`.

    Raises:
      InputError: naming the first class id at which they differ.
    """
    for k, (name, other) in enumerate(zip(names, others, strict=False)):
        if name != other:
            raise InputError(f"{others_where}: class {k} is '{other}'; expected '{name}', as in "
                             f'{where}.')
    if len(names) != len(others):
        raise InputError(f'{others_where}: found {len(others)} classes; expected {len(names)}, as '
                         f'in {where}.')


def positions(names, class_names):
    """Class id of each name.

    Args:
      names: strings, `[n]`.
      class_names: K names, position = class id.

    Returns:
      int32 `[n]`; −1 where `class_names` lacks the name.
    """
    ids = {name: k for k, name in enumerate(class_names)}
    return np.array([ids.get(name, -1) for name in names], np.int32)


def ordered(names):
    """Names in the order of class ids: by number if all are numbers, else by code point."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def alike(names):
    """Groups of names that differ only by spaces or Unicode form (é and e + ´), each sorted."""
    groups = {}
    for name in names:
        key = ' '.join(unicodedata.normalize('NFC', name).split())
        groups.setdefault(key, []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def some(names, most=10):
    """The first names in quotes, as text for messages."""
    names = list(names)
    return ', '.join(f"'{name}'" for name in names[:most]) + (
        f' and {len(names) - most} more' if len(names) > most else '')


def _ending(path):
    ending = pathlib.Path(path).suffix.lower()
    if ending not in ('.json', '.csv'):
        raise InputError(f"{path}: a file of class names ends with '{ending}'; expected .json or "
                         '.csv.')
    return ending


def _load_json(path, text):
    try:
        names = json.loads(text)
    except ValueError as error:
        raise InputError(f'{path}: not JSON ({error}); expected a list of class names.') from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: expected a JSON list of class names, all of them strings.')
    return names


def _load_csv(path, text):
    try:
        rows = csv.DictReader(io.StringIO(text, newline=''))
        columns, rows = rows.fieldnames or [], list(rows)
    except csv.Error as error:
        raise InputError(f'{path}: not CSV ({error}); expected the columns label and name.'
                         ) from error
    if sorted(name for name in columns if name in ('label', 'name')) != ['label', 'name']:
        raise InputError(f'{path}: found the columns {columns}; expected label and name.')
    names = []
    for number, row in enumerate(rows):
        if row['label'] != str(number) or row['name'] is None:
            raise InputError(f"{path}: row {number + 1} has label '{row['label']}'; expected "
                             f'{number}: ids rise from 0 without a gap.')
        names.append(row['name'])
    return names
