"""Folders of images: the class of an image is the folder that it lies in."""

import os

import numpy as np
from absl import logging

from bsce_tf.data.sources import listing
from bsce_tf.errors import InputError

ENDINGS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.webp')


def load(*, root, train='', validation='', test='', classes=''):
    """Walks the folders, in the order of code points; links to folders are followed.

    The class of `<train>/shoes/boots/a.jpg` is `shoes/boots`. A folder without images and without
    subfolders is a class without images. Files with other endings than those of images, and files
    and folders whose names begin with a dot, are left out, and their number is logged.

    Args:
      root: the data folder.
      train: folder of the training classes, relative to `root`; empty for `root` itself, or for
        `train` where that and one of the others exist.
      validation: the same; empty for `validation`, `valid` or `val` if there is one beside `train`.
      test: the same; empty for none. A folder without subfolders is a test set without labels.
      classes: file of class names in the order of their ids; empty: folder names of training.

    Returns:
      `Splits`.

    Raises:
      InputError: if a folder is missing or empty, lies in another one, or a training image lies
        in no class.
    """
    if not root:
        raise InputError('data.root: empty; expected the folder of the images.')
    if not train and not validation:
        train, validation = _usual(root)
    folders = {'train': train, 'validation': validation, 'test': test}
    chosen = {split: name for split, name in folders.items() if name or split == 'train'}
    _check_apart(root, chosen)
    indexes = {split: _walk(root, name) for split, name in chosen.items()}
    origins = {split: os.path.join(root, name) for split, name in chosen.items()}
    return listing.assemble(indexes, origins, lambda _, found: {'paths': found.paths, 'root': root},
                            classes)


def _usual(root):
    """Names of the training and validation folders where `root` has both, else empty."""
    if os.path.isdir(os.path.join(root, 'train')):
        for name in ('validation', 'valid', 'val'):
            if os.path.isdir(os.path.join(root, name)):
                return 'train', name
    return '', ''


def _check_apart(root, folders):
    places = {split: os.path.realpath(os.path.join(root, name)) for split, name in folders.items()}
    for split, place in places.items():
        for other, outer in places.items():
            if split != other and os.path.commonpath([place, outer]) == outer:
                raise InputError(f'data.{split}: the folder {place} lies in {outer} of '
                                 f'data.{other}; expected folders apart from each other.')


def _walk(root, name):
    top = os.path.join(root, name)
    if not os.path.isdir(top):
        raise InputError(f'{top}: no such folder; expected one with a subfolder for each class.')
    paths, codes, classes = [], [], []
    other = 0
    for folder, folders, files in walk(top):
        inside = os.path.relpath(folder, top)
        here = sorted(file for file in files
                      if file.lower().endswith(ENDINGS) and not file.startswith('.'))
        other += len(files) - len(here)
        if not here and (folders or inside == '.'):
            continue
        start = os.path.normpath(os.path.join(name, inside))
        paths += [os.fsencode(os.path.join(start, file) if start != '.' else file)
                  for file in here]
        codes += [-1 if inside == '.' else len(classes)] * len(here)
        if inside != '.':
            classes.append(_class_name(inside, top))
    if other:
        logging.warning('%s: %d files left out, whose names do not end with %s.', top, other,
                        ' '.join(ENDINGS))
    if not paths:
        raise InputError(f'{top}: no image found; expected files that end with '
                         f'{" ".join(ENDINGS)}.')
    return listing.index(np.array(paths, 'S'), codes, classes, top)


def _class_name(inside, top):
    name = inside.replace(os.sep, '/')
    try:
        name.encode('utf-8')
    except UnicodeEncodeError as error:
        raise InputError(f'{top}: the folder {os.fsencode(inside)!r} has a name that is not UTF-8; '
                         'expected UTF-8 names.') from error
    return name


def walk(top):
    """`os.walk` in a fixed order, without hidden names, that stops where links form a circle."""

    def fail(error):
        raise InputError(f'{error.filename}: {error.strerror}; expected a folder that can be read.')

    above = {top: (os.path.realpath(top),)}
    for folder, folders, files in os.walk(top, followlinks=True, onerror=fail):
        chain = above.pop(folder)
        kept = []
        for name in sorted(folders):
            place = os.path.join(folder, name)
            real = os.path.realpath(place)
            if real in chain:
                raise InputError(f'{place}: a link to a folder that contains it; expected a tree.')
            if not name.startswith('.'):
                kept.append(name)
                above[place] = chain + (real,)
        hidden = len(folders) - len(kept)
        if hidden:
            logging.warning('%s: %d hidden folders left out.', folder, hidden)
        folders[:] = kept
        yield folder, kept, files
