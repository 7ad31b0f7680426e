"""Images that must stay on one side of a split: those of one group, and copies of each other.

A group is, for example, the photos of one product. `Examples.groups` has them, from a column of the
source's table or from a regular expression on the paths. Copies are rows that name the same file,
and images that a list of duplicates says are equal or nearly equal.
"""

import os
import re

import numpy as np
from absl import logging

from bsce_tf.data import clean_list, texts
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

PATHS = 'paths'  # value of data.copies
DUPLICATES = ('group', 'split', 'image', 'label')  # columns of inspect's list
PAIRS = ('path_a', 'label_a', 'path_b')  # the first columns of the audit's


def by_pattern(examples, pattern, needed=True):
    """`Texts` `[N]`: the group of each image, told by its path, see `Examples.groups`.

    Args:
      examples: an `Examples` of files or records; of records the names count.
      pattern: regular expression, searched for in each path. What its first pair of brackets
        matches is the group; without brackets, the whole match is.
      needed: whether every path must match; else a path that does not is a group of its own.

    Raises:
      InputError: if the images are in memory, the expression is not valid, or a path does not fit.
    """
    if examples.images is not None:
        raise InputError(f"data.group_pattern: found '{pattern}', but the images of "
                         f'{examples.origin} have no paths; expected none.')
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise InputError(f"data.group_pattern: '{pattern}' is no regular expression ({error}); "
                         r'expected one such as /(\d+)_.') from error
    found, lacking = [], []
    for name in records.names(examples):
        match = search(os.fsdecode(name))
        group = match and match[1 if match.re.groups and match[1] is not None else 0]
        if not group:
            lacking.append(name)
        found.append(os.fsencode(group or ''))
    if lacking:
        first = lacking[0].decode('utf-8', 'replace')
        if needed:
            raise InputError(f"data.group_pattern: '{pattern}' finds no text in '{first}' "
                             f'({len(lacking)} such images of {examples.origin}); expected one '
                             'that does in every path.')
        logging.warning("data.group_pattern: '%s' finds no text in '%s' (%d such images of %s), "
                        'which are each taken as a group of its own.', pattern, first,
                        len(lacking), examples.origin)
    return texts.of(found)


def together(examples, copies=PATHS):
    """int64 `[N]`: images with the same number must stay together; None: each stands alone.

    Args:
      examples: an `Examples`.
      copies: which copies stay together besides groups: '' for none; 'paths' for rows that name
        the same file; or a path: these, and the images of that list, `duplicates.csv` of
        bsce inspect or `near_duplicates.csv` of bsce audit.

    Raises:
      InputError: if the list cannot be read, or has none of these images.
    """
    pairs = []
    if examples.groups is not None:
        first, second = equal_pairs(examples.groups)
        named = examples.groups.lengths[first] > 0
        pairs.append((first[named], second[named]))
    if copies and examples.images is None:
        pairs.append(equal_pairs(_plain(records.names(examples))))
    if copies not in ('', PATHS):
        pairs.append(_listed(examples, copies))
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True)) if pairs else (
        (), ())
    return _joined(len(examples), first, second) if len(first) else None


def classes_of_one(labels, together, num_classes):
    """int64 array: the classes that have several images, all with one number in `together`."""
    counts = np.bincount(labels, minlength=num_classes)
    ordered = together[np.argsort(labels, kind='stable')]
    starts = (np.cumsum(counts) - counts)[counts > 0]
    one = np.minimum.reduceat(ordered, starts) == np.maximum.reduceat(ordered, starts)
    return np.flatnonzero(counts > 0)[one & (counts[counts > 0] > 1)]


def equal_pairs(values):
    """Two int64 `[n]`: places of equal texts in `Texts`, each with the next one of its text."""
    keys = texts.numbers(values)
    order = np.argsort(keys, kind='stable')
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return order[same], order[same + 1]


def _joined(count, first, second):
    """int64 `[count]`: for each number the smallest that it is connected to by pairs."""
    root = np.arange(count)
    while True:
        a, b = root[first], root[second]
        if (a == b).all():
            return root
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while (root[root] != root).any():
            root = root[root]


def _plain(paths):
    """Paths without '.' and double slashes, so that one file has one path."""
    odd = np.flatnonzero(paths.mask(lambda block: (
        np.strings.startswith(block, b'./') | (np.strings.find(block, b'/./') >= 0)
        | (np.strings.find(block, b'//') >= 0))))
    if not odd.size:
        return paths
    return paths.changed(odd, [os.path.normpath(path) for path in paths[odd]])


def _listed(examples, path):
    """Two int64 `[n]`: pairs of images that a list of copies tells."""
    pairs = _pairs_of_names(path)
    wanted = {name for pair in pairs for name in pair}
    places = {}
    for i, name in enumerate(records.names(examples)):
        if name in wanted:
            places.setdefault(name, i)
    if not places and pairs:
        raise InputError(f'{path}: none of its {len(wanted)} images is in {examples.origin}; '
                         'expected a list of these images (data.copies).')
    known = [(places[a], places[b]) for a, b in pairs if a in places and b in places]
    return np.array(known, np.int64).reshape(-1, 2).T


def _pairs_of_names(path):
    """List of pairs of names, bytes, of a list of copies."""
    with clean_list.rows(path, 'a list of copies (data.copies)') as rows:
        header = tuple(next(rows, ()))
        if header != DUPLICATES and header[:3] != PAIRS:
            raise InputError(f'{path}: found the columns {", ".join(header)}; expected '
                             'duplicates.csv of bsce inspect or near_duplicates.csv of '
                             'bsce audit (data.copies).')
        before, pairs = {}, []
        for row in filter(None, rows):
            if len(row) != len(header):
                raise InputError(f'{path}: line {rows.line_num} has {len(row)} cells; expected '
                                 f'{", ".join(header)}.')
            cells = [cell.encode('utf-8', 'surrogateescape') for cell in row]
            if header != DUPLICATES:
                pairs.append((cells[0], cells[2]))
            elif row[1] == 'train':
                if row[0] in before:
                    pairs.append((before[row[0]], cells[2]))
                before[row[0]] = cells[2]
    return pairs
