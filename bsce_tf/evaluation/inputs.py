"""The images to predict: a folder, a list, one image or the test set of a config."""

import codecs
import os
import pathlib

import numpy as np

from bsce_tf import storage
from bsce_tf.data import prepare, texts
from bsce_tf.data.examples import Examples
from bsce_tf.data.listing import image_lists, tables, walk
from bsce_tf.data.reading import records
from bsce_tf.data.sources import csv_file
from bsce_tf.errors import InputError

_TEXTS = ('.txt', '.lst', '.list')


def load(source, *, data, seed=0):
    """The images to predict.

    Args:
      source: `predict.input`. A folder: every image in it and its subfolders, sorted by code
        points, without hidden and system folders. A table (CSV, TSV, JSON lines, Parquet): the
        paths in the column `data.image_column`. A text file (.txt, .lst, .list): one path per line;
        blank lines are skipped. Relative paths start at `data.root`, or else at the folder of the
        list. An image file. Empty: the test set of `data`, labelled or not.
      data: mapping, `config.data`.
      seed: of the run, for `prepare.load`.

    Returns:
      (`Examples`, `texts.Texts` `[N]`: their paths as written in the list or folder).

    Raises:
      InputError: if there is no such file, no image or no test set.
    """
    if not source:
        test = prepare.load(**data, seed=seed).test
        if test is None:
            raise InputError('predict.input: empty, and config.data has no test set; expected a '
                             'folder, a list or an image.')
        return test, records.names(test)
    readers = data['readers']
    if storage.is_folder(source):
        return _examples(_walk(source), source, source, readers)
    if not storage.exists(source):
        raise InputError(f'predict.input: {source} does not exist; expected a folder, a list or an '
                         'image.')
    ending = pathlib.PurePath(source).suffix.lower()
    if ending in walk.ENDINGS:
        root = storage.WHOLE if storage.is_address(source) else ''
        return _examples([os.fsencode(source)], root, source, readers)
    if ending in _TEXTS:
        paths = _lines(source)
    elif tables.kind(source):
        paths = _column(source, data['image_column'])
    else:
        raise InputError(f'predict.input: {source} ends with {ending!r}; expected a folder, an '
                         f'image ({" ".join(walk.ENDINGS)}), a table ({" ".join(tables.KINDS)}) '
                         f'or a list ({" ".join(_TEXTS)}).')
    if not len(paths):
        raise InputError(f'{source}: no image found; expected at least one path.')
    names, table = texts.of(paths), os.path.dirname(source)
    if storage.is_address(source) or storage.is_address(data['root']) or (
            names.mask(lambda block: np.strings.find(block, b'://') >= 0).any()):
        paths = csv_file.below(names, data['root'] or table)
        image_lists.check_inside(paths, source)
        root = csv_file.data_folder(data['root'], table, paths, source)
        return _examples(paths, root, source, readers)[0], names
    return _examples(paths, data['root'] or table, source, readers)


def _examples(paths, root, origin, readers):
    """Examples without labels; if one path is absolute, all are made absolute."""
    names = paths = texts.of(paths)
    if any(path.startswith(b'/') for path in paths):
        start = os.fsencode(os.path.abspath(root))
        paths = texts.of([os.path.join(start, path) for path in paths])
        root = '/'
    return Examples(np.full(len(paths), -1), (), paths=paths, root=str(root or '.'),
                    origin=str(origin), readers=readers), names


def _walk(top):
    paths = walk.images(top)
    if not paths:
        raise InputError(f'predict.input: {top}: no image found; expected files that end with '
                         f'{" ".join(walk.ENDINGS)}.')
    return [os.fsencode(path) for path in paths]


def _column(path, name):
    columns, _ = tables.read(path, {name: 'data.image_column'})
    return csv_file.path_bytes(columns[name], path)


def _lines(path):
    with storage.open_file(path) as file:
        data = file.read().removeprefix(codecs.BOM_UTF8)
    if b'\0' in data:
        raise InputError(f'{path}: not a text file; expected one path per line.')
    return [line for line in data.splitlines() if line.strip()]
