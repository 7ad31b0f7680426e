"""Finds the folders of the training, validation and test images by their names."""

import collections
import os
import re

from absl import logging

from bsce_tf import storage
from bsce_tf.data.listing import walk
from bsce_tf.errors import InputError

# The usual names, in lower case.
NAMES = {'train': ('train', 'training'),
         'validation': ('validation', 'valid', 'val', 'dev', 'validate'),
         'test': ('test', 'testing')}
_SPLITS = {name: split for split, names in NAMES.items() for name in names}
# The same names within longer ones: train_images, seg_test, val2017.
_WITHIN = re.compile(rf'(?<![a-z])({"|".join(sorted(_SPLITS, key=len, reverse=True))})(?![a-z])')


def choose(root, train='', validation='', test=''):
    """Finds the folders of the sets that the config does not name.

    Looks for folders with the names in `NAMES`, in upper or lower case: beside `train` if that is
    given, else in `root`. If there is no training folder, `root` itself is it.

    Args:
      root: the data folder.
      train: folder of the training images, relative to `root`; '.' is `root` itself, with all
        subfolders as classes, whatever their names.
      validation: folder of the validation images, relative to `root`.
      test: folder of the test images, relative to `root`.

    Returns:
      Dict of split → folder relative to `root`; a set that does not exist has no entry.

    Raises:
      InputError: if two folders are for the same set, or if it is unclear whether folders are sets
        or classes.
    """
    given = {split: name for split, name in
             (('train', train), ('validation', validation), ('test', test)) if name}
    if train and os.path.normpath(train) == '.':
        return given
    place = os.path.dirname(os.path.normpath(train)) if train else ''
    named = {os.path.normpath(name) for name in given.values()}
    found, others = {}, []
    for name in _subfolders(os.path.join(root, place)):
        split = _SPLITS.get(name.lower())
        if os.path.join(place, name) in named or split in given:
            continue
        if split is None:
            others.append(name)
        elif split in found:
            raise InputError(f"{root}: both '{os.path.basename(found[split])}' and '{name}' are "
                             f'names of a {split} set; expected one, or data.{split}.')
        else:
            found[split] = os.path.join(place, name)
    chosen = given | found
    if found and not train:
        _check_sets(root, found, chosen, others)
    return {'train': ''} | chosen


def check_classes(top, classes):
    """Refuses class names that look like training and test sets.

    Args:
      top: folder of the classes.
      classes: their names; a nested one has '/' in it.

    Raises:
      InputError: if one folder contains two that have the names of sets, such as `train` and
        `test`, or whose names differ only in the name of a set, such as `seg_train` and `seg_test`.
    """
    beside = collections.defaultdict(dict)  # (parent, name with * for the set's) → {split: name}
    for name in classes:
        parts = name.split('/')
        for depth, part in enumerate(parts):
            for match in _WITHIN.finditer(part.lower()):
                rest = part.lower()[:match.start()] + '*' + part.lower()[match.end():]
                sets = beside['/'.join(parts[:depth]), rest]
                sets[_SPLITS[match[1]]] = part
                if len(sets) > 1 and 'train' in sets:
                    folder = os.path.join(top, *parts[:depth])
                    raise InputError(
                        f"{folder}: '{sets.pop('train')}' and '{sets.popitem()[1]}' look like a "
                        'training and a test or validation set, and would become classes; '
                        'expected data.root to be the folder that holds the sets, or their names '
                        'in data.train, data.validation and data.test (data.train=. takes them '
                        'as classes).')


def _check_sets(root, found, chosen, others):
    names = ', '.join(f"'{os.path.basename(name)}'" for name in found.values())
    if others and ('train' not in found or len(chosen) == 1):
        raise InputError(
            f"{root}: found {names} beside '{others[0]}' ({len(others)} such folders), so it is "
            'unclear which are sets and which classes; expected the folder of training classes in '
            'data.train (data.train=. takes all as classes).')
    if 'train' not in found:
        raise InputError(f'{root}: found {names} and no training set; expected a folder train '
                         'beside it, or the name of the training folder in data.train.')
    if others:
        logging.warning('%s: %s are taken as the sets; left out %d other folders (%s).', root,
                        names, len(others), ', '.join(others[:5]))


def _subfolders(folder):
    if storage.is_address(folder):
        names = storage.folders(folder) if storage.is_folder(folder) else []
        return [name for name in names if not walk.left_out(name)]
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries
                          if entry.is_dir() and not walk.left_out(entry.name))
    except OSError:
        return []  # `walk.walk` reports the error
