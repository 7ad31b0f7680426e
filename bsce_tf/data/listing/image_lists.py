"""Lists of image files or records, and how lists of several splits become `Splits`."""

import os
from typing import NamedTuple

import numpy as np

from bsce_tf import storage
from bsce_tf.data import label_map, texts
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError


class Index(NamedTuple):
    """One list as it was read.

    Attributes:
      paths: `texts.Texts` `[N]`, UTF-8: files relative to the data folder, or names of records.
      codes: int32 `[N]`, position of each image's class in `names`; −1 for an unlabelled image.
      names: class names of this list, in the order of `label_map.ordered`.
      groups: `texts.Texts` `[N]`, see `Examples.groups`, or None.
      folders: array `[D]` of `path` (bytes) and `state` (see `walk.state`): the folders that were
        walked, before they were; or None.
      left_out: words on what was left out of them, see `walk.tell`; '' for nothing.
    """

    paths: texts.Texts
    codes: np.ndarray
    names: tuple
    groups: texts.Texts | None = None
    folders: np.ndarray | None = None
    left_out: str = ''


def index(paths, codes, names, origin, groups=None):
    """Makes an `Index` of classes in any order, and checks its paths.

    Args:
      paths: `texts.Texts` `[N]`, list of bytes or NumPy bytes array.
      codes: int `[N]`, positions in `names`, or −1.
      names: class names as strings, in any order.
      origin: what to call the list in messages.
      groups: `texts.Texts` `[N]`, or None.

    Returns:
      `Index`.

    Raises:
      InputError: if a path is empty or leaves the data folder.
    """
    paths = texts.of(paths)
    check_inside(paths, origin)
    order = tuple(label_map.ordered(names))
    # One place more than classes: the code −1 reads the last.
    place = np.append(label_map.positions(names, order), np.int32(-1))
    return Index(paths, place[np.asarray(codes, np.int64)], order, groups)


def check_inside(paths, origin):
    """Refuses paths that are empty, absolute or climb out of the data folder, and addresses of a
    scheme that is not in `storage.SCHEMES`.

    Args:
      paths: `texts.Texts` `[N]`, relative to the data folder.
      origin: what to call the list in messages.

    Raises:
      InputError: naming the first such path and its place in the list, counted from 1.
    """
    suspect = paths.mask(lambda block: (
        (np.strings.str_len(block) == 0) | np.strings.startswith(block, b'/')
        | (np.strings.find(block, b'..') >= 0) | (np.strings.find(block, b'\0') >= 0)
        | (np.strings.find(block, b'://') >= 0) & ~storage.begin(block)))
    for i in np.flatnonzero(suspect):
        parts = paths[i].split(b'/')
        if parts[0] == b'' or b'..' in parts or b'\0' in paths[i]:
            found = paths[i].decode('utf-8', 'replace')
            raise InputError(f"{origin}: image {i + 1} has the path '{found}'; expected a path "
                             'relative to the data folder that stays inside of it.')
        if storage.is_address(paths[i]):
            storage.check(os.fsdecode(paths[i]), f'{origin}: image {i + 1}')


def assemble(indexes, origins, store, classes=''):
    """Joins the lists of a data set under one label map.

    The map is that of the file `classes`, or else of the training list. A class that another list
    has and the training list lacks gets an id after all others. It counts, as an error, in the
    validation error; `prepare` and `inspect` name it.

    Args:
      indexes: dict with an `Index` (or None) for train, validation and test.
      origins: dict of what to call each of them in messages, such as its file.
      store: function of split and `Index` → dict of the fields of `Examples` that hold the images.
      classes: file of class names, see `label_map.load`; empty for none.

    Returns:
      `Splits`.

    Raises:
      InputError: if a training or validation image has no label, or if the file of classes lacks
        a class.
    """
    present = {split: found for split, found in indexes.items() if found is not None}
    names = list(label_map.load(classes)) if classes else list(present['train'].names)
    for split, found in present.items():
        _check_labels(split, found, origins[split])
        known = set(names)
        lacking = [name for name in found.names if name not in known]
        if lacking and classes:
            raise InputError(f"{origins[split]}: class '{lacking[0]}' is not in {classes} "
                             f'({len(lacking)} such classes); expected classes listed there.')
        names += lacking
    splits = {}
    for split, found in present.items():
        place = np.append(label_map.positions(found.names, names), np.int32(-1))
        splits[split] = Examples(place[found.codes], tuple(names), origin=origins[split],
                                 groups=found.groups, **store(split, found))
    return Splits(splits['train'], splits.get('validation'), splits.get('test'))


def _check_labels(split, found, origin):
    unlabelled = np.flatnonzero(found.codes < 0)
    if not unlabelled.size or (split == 'test' and unlabelled.size == len(found.codes)):
        return
    first = unlabelled[0]
    raise InputError(f'{origin}: image {first + 1}, {found.paths[first].decode("utf-8", "replace")}'
                     f', has no label ({unlabelled.size} of {len(found.codes)}); expected a label '
                     'for each, or, in a test list, for none.')
