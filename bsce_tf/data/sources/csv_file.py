"""Tables of image paths and labels: CSV, TSV, JSON, text and Parquet, with columns by name."""

import glob
import os

import numpy as np
from absl import logging

from bsce_tf import storage
from bsce_tf.data import texts
from bsce_tf.data.listing import image_lists, index_cache, tables, walk
from bsce_tf.errors import InputError

_VERSION = 2  # of the index; increase it when a cell is read differently


def load(*, root='', train='', validation='', test='', classes='', cache='', image_column='image',
         label_column='label', group_column=''):
    """Reads the tables. The ending of a file is its kind; `.gz` after it means compressed.

    A table may also be a folder of files or a pattern such as `lists/part-*.parquet`: these are
    joined in the order of their names. Tables and images may also have addresses, see `storage`.

    Args:
      root: the data folder: what paths in the tables are relative to, and below which absolute
        paths must lie; empty for the folder of the training table. Without it, a table may give
        the whole address of every image.
      train: table of training images, absolute or relative to the working folder or to `root`, or
        an address.
      validation: table of validation images; empty for none.
      test: table of test images; empty for none. Its labels may be missing or all empty.
      classes: file of class names in the order of their ids; empty: names of the training table,
        by number if all are numbers, else by code point.
      cache: folder for the index, see `index_cache.cached`.
      image_column: name of the column of paths.
      label_column: name of the column of class names; see `tables` for the text of numbers, dates
        and truth values.
      group_column: name of the column of groups, see `Examples.groups`; empty for none. A table of
        validation or test images may lack it.

    Returns:
      `Splits`.

    Raises:
      InputError: if a table or column is missing, a cell is empty or a path leaves the data folder.
    """
    if not train:
        raise InputError('data.train: empty; expected a file that ends with '
                         f'{", ".join(tables.KINDS)}.')
    lists = {'train': train, 'validation': validation, 'test': test}
    origins = {split: _find(root, name) for split, name in lists.items()}
    parts = {split: _parts(path) for split, path in origins.items()}
    folder = os.path.dirname(parts['train'][0]) or '.'
    columns = (image_column, label_column, *filter(None, [group_column]))
    indexes = {}
    for split, paths in parts.items():
        indexes[split] = index_cache.cached(
            paths, ['csv', _VERSION, _absolute(root or folder), *columns], cache,
            lambda paths=paths, split=split: _build(
                paths, origins[split], root or folder, split, *columns)) if paths else None
    return image_lists.assemble(indexes, origins, lambda split, found: {
        'paths': found.paths,
        'root': data_folder(root, folder, found.paths, origins[split])}, classes)


def data_folder(given, table, paths, origin):
    """The data folder of a table's images: `storage.WHOLE` where all paths are addresses.

    Args:
      given: `data.root`; '' for none.
      table: folder of the table, the data folder where none is given.
      paths: `texts.Texts`, those below the data folder relative to it.
      origin: what to call the table in messages.

    Raises:
      InputError: if a path is an address outside of `given`, or some are addresses and others not.
    """
    addresses = paths.mask(storage.begin)
    if not addresses.any():
        return given or table
    address, path = (paths[int(place)].decode('utf-8', 'replace')
                     for place in (addresses.argmax(), addresses.argmin()))
    if given:
        raise InputError(f"{origin}: found '{address}', which is no path in data.root = {given}; "
                         'expected images inside of it, or no data.root.')
    if not addresses.all():
        raise InputError(f"{origin}: found '{address}' and '{path}'; expected addresses alone, or "
                         f'paths in {table} alone.')
    return storage.WHOLE


def _absolute(root):
    return root if storage.is_address(root) else os.path.abspath(root)


def _find(root, name):
    if not name or storage.is_address(name):
        return name
    if storage.is_address(root):
        return name if _exists(name) else storage.join(root, name)
    inside = os.path.join(root, name)
    return inside if not _exists(name) and _exists(inside) else name


def _exists(path):
    return os.path.exists(path) or bool(glob.glob(path))


def _parts(path):
    """The files of a table: the file itself, those in a folder, or those that match a pattern."""
    if os.path.isfile(path) or not path:
        return [path] if path else []
    if storage.is_address(path):
        return _stored_parts(path)
    found = glob.glob(os.path.join(glob.escape(path), '*') if os.path.isdir(path) else path)
    found = sorted(name for name in found if tables.kind(name) and os.path.isfile(name)
                   and not walk.left_out(os.path.basename(name)))
    if not found and _exists(path):
        raise InputError(f'{path}: no table in it; expected files that end with '
                         f'{", ".join(tables.KINDS)}.')
    return found or [path]  # missing; reading it says so


def _stored_parts(address):
    if storage.is_folder(address):
        address = storage.join(glob.escape(address), '*')
    elif not storage.is_pattern(address):
        return [address]
    found = [name for name in storage.matching(address)
             if tables.kind(name) and not walk.left_out(os.path.basename(name))]
    if not found:
        raise InputError(f'{address}: no table in it; expected files that end with '
                         f'{", ".join(tables.KINDS)}.')
    return found


def _build(files, origin, root, split, image_column, label_column, group_column=''):
    paths, labels, ids, groups = [], [], {}, []
    for path in files:
        columns, names = read_columns(path, split, image_column, label_column, group_column)
        found = path_bytes(columns[image_column], path)
        paths.append(below(found, root))
        groups.append(groups_of(columns.get(group_column), len(found)))
        if label_column not in columns:
            logging.warning("%s: no column '%s' (data.label_column) among %s; taken as images "
                            'without labels.', path, label_column, ', '.join(names))
            labels.append(np.full(len(found), -1))
            continue
        codes, classes = labels_of(columns[label_column], label_column, path)
        place = [ids.setdefault(name, len(ids)) for name in classes]
        labels.append(np.append(place, -1)[codes].astype(np.int64))
    if not sum(map(len, paths)):
        raise InputError(f'{origin}: no image found; expected at least one.')
    return image_lists.index(texts.joined(paths), np.concatenate(labels), list(ids), origin,
                         texts.joined(groups) if group_column else None)


def below(paths, root):
    """`Texts` whose absolute paths, and addresses, below `root` are relative to it."""
    start = os.fsencode(_absolute(root or '.')).rstrip(b'/') + b'/'
    inside = np.flatnonzero(paths.mask(lambda block: np.strings.startswith(block, start)))
    if not inside.size:
        return paths
    if storage.is_address(root):
        return paths.changed(inside, [
            path if (found := storage.relative(os.fsdecode(path), root)) is None
            else os.fsencode(found) for path in paths[inside]])
    return paths.changed(inside, [path[len(start):].lstrip(b'/') for path in paths[inside]])


def read_columns(path, split, image_column, label_column, group_column):
    """What `tables.read` gives of those columns that have a name, which may be the same.

    The labels of a test set may be missing, and the groups of all but the training set, where they
    decide nothing.
    """
    named = {image_column: 'data.image_column', label_column: 'data.label_column',
             group_column: 'data.group_column'}
    optional = [label_column] * (split == 'test') + [group_column] * (split != 'train')
    columns, names = tables.read(
        path, {name: field for name, field in named.items() if name}, optional)
    if group_column and group_column not in columns:
        logging.warning("%s: no column '%s' (data.group_column) among %s; each image is taken as a "
                        'group of its own.', path, group_column, ', '.join(names))
    return columns, names


def groups_of(column, count):
    """`Texts` `[count]` of an Arrow array of groups; empty where a cell is, or without one."""
    return texts.of([b''] * count) if column is None else texts.of_arrow(column.fill_null(b''))


def path_bytes(column, path):
    """An Arrow array of paths as `Texts`. Raises InputError where one is missing."""
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f'{path}: row {row + 1} has no path; expected one in every row.')
    return texts.of_arrow(column)


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
