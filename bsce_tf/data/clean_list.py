"""Clean lists: the images of a split that are worth training on, and their labels.

A clean list is a CSV file with the columns `image` and `label` (class name; empty in a test set),
so the `csv` source reads it as it is. Every source takes it through `data.clean`.

A list of bsce audit has a third column, `given_label`: the label that the image had before. Name
and given label together then identify an image, so a set may have it under several labels. Such a
list is of a run's training set, made after the long tail, the wrong labels and the validation set;
`prepare.load` applies it there.
"""

import contextlib
import csv
import io
import os

import numpy as np

from bsce_tf import files, storage
from bsce_tf.data import label_map, texts
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

COLUMNS = ('image', 'label')
GIVEN = 'given_label'


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
      rows: iterable of rows; a bytes cell is a file name as the file system has it.
    """
    with (files.replacing(path) as temporary,
          open(temporary, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file):
        writer = files.csv_writer(file)
        writer.writerow(header)
        writer.writerows([cell.decode('utf-8', 'surrogateescape') if isinstance(cell, bytes)
                          else cell for cell in row] for row in rows)


def write_audited(path, examples, indices, labels):
    """Writes the list of an audit.

    Args:
      path: file to write.
      examples: an `Examples`, with the given labels.
      indices: int `[n]`, the images to keep.
      labels: int `[n]`, the new class of each.
    """
    names, classes = records.names(examples), examples.class_names
    write_rows(path, (*COLUMNS, GIVEN), (
        (bytes(names[i]), classes[label], classes[examples.labels[i]])
        for i, label in zip(indices, labels, strict=True)))


def places(text):
    """Splits `data.clean` into (place for `apply_all`, list of an audit); '' for none.

    Args:
      text: a folder or list of bsce verify, a list of bsce audit, or one of each as 'A,B'.

    Raises:
      InputError: if there are several of one kind, or a list cannot be read.
    """
    parts = storage.several(text)
    audited = [part for part in parts if not storage.is_folder(part)
               and GIVEN in _header(part)[2:3]]
    others = [part for part in parts if part not in audited]
    for kind in (audited, others):
        if len(kind) > 1:
            raise InputError(f"data.clean: found '{text}'; expected at most one clean list of "
                             'bsce verify and one of bsce audit.')
    return ''.join(others), ''.join(audited)


def apply_all(splits, place):
    """Chooses the images of every split.

    Args:
      splits: dict of split → `Examples` or None.
      place: a folder with `clean_<split>.csv` for every split, as `bsce verify` writes them, or
        one file, for the training split.

    Returns:
      The same dict of chosen images.

    Raises:
      InputError: if a list is missing, or what `apply` raises.
    """
    if not storage.is_folder(place):
        return splits | {'train': apply(splits['train'], place)}
    return {split: examples and apply(examples, storage.below(place, f'clean_{split}.csv'))
            for split, examples in splits.items()}


def apply(examples, path):
    """The images of `examples` that a clean list names, with the list's labels; see `select`."""
    return examples.subset(*select(examples, path))


def select(examples, path):
    """Finds the images that a clean list names.

    They keep the order of `examples`. Where several images have one name, the list must have that
    name equally often, in the same order. In a list with `given_label`, name and given label
    identify an image; of a pair that is listed n times, the first n images are taken.

    Args:
      examples: an `Examples`.
      path: the clean list.

    Returns:
      (int64 `[n]` indices, int32 `[n]` labels, or None where `examples` has none).

    Raises:
      InputError: if the list cannot be read, names an image that is not there, or a class that is
        not in the label map.
    """
    listed, codes, given, classes = _read(path)
    inverse = texts.numbers(texts.joined([records.names(examples), listed]))
    there, wanted = inverse[:len(examples)], inverse[len(examples):]
    if not examples.labelled:
        return _match(examples, path, listed, there, wanted, whole=True)[0], None
    ids = label_map.positions(classes, examples.class_names)
    if (ids < 0).any():
        raise InputError(f"{path}: class '{classes[np.argmin(ids)]}' is not among the "
                         f'{examples.num_classes} classes of {examples.origin}; expected one of '
                         'them.')
    if given is not None:
        there = there * examples.num_classes + examples.labels
        wanted = wanted * examples.num_classes + ids[given]
    indices, rows = _match(examples, path, listed, there, wanted, whole=given is None)
    return indices, ids[codes[rows]]


def _match(examples, path, names, there, wanted, whole):
    """Matches images and rows with equal keys: (ascending indices of images, row of each).

    Args:
      examples, path, names: for messages; names of the rows' images, `[n]`.
      there: int `[N]`, key of each image.
      wanted: int `[n]`, key of each row.
      whole: whether all images of a key must be listed.
    """
    order, rows = np.argsort(there, kind='stable'), np.argsort(wanted, kind='stable')
    there, wanted = there[order], wanted[rows]
    first = np.searchsorted(wanted, wanted)  # of the rows of the same key
    begin = np.searchsorted(there, wanted)
    places = begin + np.arange(len(wanted)) - first
    number = np.searchsorted(there, wanted, side='right') - begin
    listed = np.searchsorted(wanted, wanted, side='right') - first
    bad = np.flatnonzero((listed > number) | (whole & (listed < number)))
    if bad.size:
        name = names[rows[bad].min()].decode('utf-8', 'replace')
        label = '' if whole else ' with its given_label'
        raise InputError(f"{path}: '{name}'{label} is not in {examples.origin}, or not as often; "
                         'expected a list of these images.')
    found = order[places]
    back = np.argsort(found)
    return found[back], rows[back]


def _header(path):
    with rows(path) as found:
        return next(found, [])


@contextlib.contextmanager
def rows(path, what='a clean list'):
    """A `csv.reader` past a BOM, as Excel writes; errors of reading become an `InputError`."""
    try:
        with io.TextIOWrapper(storage.open_file(path), newline='', encoding='utf-8-sig',
                              errors='surrogateescape') as file:
            yield csv.reader(file)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected {what}.') from error
    except csv.Error as error:
        raise InputError(f'{path}: not CSV ({error}); expected {what}.') from error


def _read(path):
    """(image names, codes of their classes, codes of the given classes or None, class names)."""
    names, codes, given, classes = [], [], [], {}
    with rows(path) as lines:
        header = next(lines, [])
        if tuple(header[:2]) != COLUMNS:
            raise InputError(f'{path}: found the columns {header}; expected image, label.')
        audited = header[2:3] == [GIVEN]
        for row in filter(None, lines):
            if len(row) < 2 + audited:
                raise InputError(f'{path}: line {lines.line_num} has {len(row)} cells; '
                                 f'expected {", ".join(header[:2 + audited])}.')
            names.append(row[0].encode('utf-8', 'surrogateescape'))
            codes.append(classes.setdefault(row[1], len(classes)))
            if audited:
                given.append(classes.setdefault(row[2], len(classes)))
    for label in classes:
        if any('\udc80' <= char <= '\udcff' for char in label):
            raise InputError(f'{path}: the label {os.fsencode(label)!r} is not UTF-8; expected '
                             'UTF-8 text (in Excel: CSV UTF-8).')
    if not names:
        raise InputError(f'{path}: no image found; expected at least one.')
    return (texts.of(names), np.array(codes), np.array(given) if audited else None,
            list(classes))
