"""Clean lists: the images of a split that are worth training on, and their labels.

A clean list is a CSV file with the columns `image` and `label` (class name; empty in a test set),
so the `csv` source reads it as it is. Every source takes it through `data.clean`.
"""

import csv
import pathlib

import numpy as np

from bsce_tf import files
from bsce_tf.data import label_map, records
from bsce_tf.errors import InputError

COLUMNS = ('image', 'label')


def write(path, examples, indices):
    """Writes the images of `examples` at `indices` (int `[n]`), whole file or not at all."""
    names, labels = records.names(examples), examples.labels
    rows = ((bytes(names[i]), examples.class_names[labels[i]] if labels[i] >= 0 else '')
            for i in indices)
    write_rows(path, COLUMNS, rows)


def write_rows(path, header, rows):
    """Writes a CSV file, whole or not at all.

    Args:
      path: file to write.
      header: names of the columns.
      rows: iterable of rows; cells of bytes are names of files as the file system has them.
    """
    with (files.replacing(path) as temporary,
          open(temporary, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file):
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        writer.writerows([cell.decode('utf-8', 'surrogateescape') if isinstance(cell, bytes)
                          else cell for cell in row] for row in rows)


def apply_all(splits, place):
    """Chooses the images of every split.

    Args:
      splits: dict of split → `Examples` or None.
      place: a folder with `clean_<split>.csv` for every split, as `--mode=verify` writes them, or
        one file, for the training split.

    Returns:
      The same dict of chosen images.

    Raises:
      InputError: if a list is missing, or what `apply` raises.
    """
    if not pathlib.Path(place).is_dir():
        return splits | {'train': apply(splits['train'], place)}
    return {split: examples and apply(examples, pathlib.Path(place) / f'clean_{split}.csv')
            for split, examples in splits.items()}


def apply(examples, path):
    """The images of `examples` that a clean list names, with the labels that it gives them.

    They keep the order of `examples`. Where a name comes more than once among them, the list must
    have it as often, in the same order.

    Args:
      examples: an `Examples`.
      path: the clean list.

    Returns:
      `Examples`.

    Raises:
      InputError: if the list cannot be read, names an image that is not there, or a class that is
        not in the label map.
    """
    listed, codes, classes = _read(path)
    names = records.names(examples)
    order = np.argsort(names, kind='stable')
    kept = order[np.isin(names[order], listed)]
    listed_order = np.argsort(listed, kind='stable')
    found, wanted = names[kept], listed[listed_order]
    if len(found) != len(wanted) or (found != wanted).any():
        shorter = min(len(found), len(wanted))
        first = np.flatnonzero(found[:shorter] != wanted[:shorter])
        at = first[0] if first.size else min(shorter, len(wanted) - 1)
        raise InputError(f"{path}: '{wanted[at].decode('utf-8', 'replace')}' is not in "
                         f'{examples.origin}, or not as often; expected a list of these images.')
    back = np.argsort(kept)
    chosen = kept[back]
    if not examples.labelled:
        return examples.subset(chosen)
    places = label_map.positions(classes, examples.class_names)
    if (places < 0).any():
        raise InputError(f"{path}: class '{classes[np.argmin(places)]}' is not among the "
                         f'{examples.num_classes} classes of {examples.origin}; expected one of '
                         'them.')
    return examples.subset(chosen, labels=places[codes[listed_order][back]])


def _read(path):
    """(names of images, positions of their classes, names of classes) of a clean list."""
    names, codes, classes = [], [], {}
    try:
        with open(path, newline='', encoding='utf-8', errors='surrogateescape') as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if tuple(header[:2]) != COLUMNS:
                raise InputError(f'{path}: found the columns {header}; expected image, label.')
            for row in rows:
                if len(row) < 2:
                    raise InputError(f'{path}: line {rows.line_num} has {len(row)} cells; '
                                     'expected image, label.')
                names.append(row[0].encode('utf-8', 'surrogateescape'))
                codes.append(classes.setdefault(row[1], len(classes)))
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected a clean list.') from error
    if not names:
        raise InputError(f'{path}: no image found; expected at least one.')
    return np.array(names, 'S'), np.array(codes), list(classes)
