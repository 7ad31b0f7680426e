"""Folders of images: the folder of an image is its class."""

import concurrent.futures
import os
import time

import numpy as np

from bsce_tf import storage
from bsce_tf.data.listing import image_lists, index_cache, set_folders, walk
from bsce_tf.errors import InputError

_VERSION = 2  # of what is an image and what is left out, for the index
_LARGE = 20_000  # images of a set that has an index; smaller ones are walked as fast
_TICK = 2_000_000_000  # ns; two changes within it may have one time on some file systems
_THREADS = 16  # so that many folders are looked at at once where the disk is far away


def load(*, root, train='', validation='', test='', classes='', cache=''):
    """Walks the folders, sorted by code points. Follows links to folders.

    The class of `<train>/shoes/boots/a.jpg` is `shoes/boots`. A folder without images and without
    subfolders is a class without images; a bucket has no such folders. Hidden and system files are
    skipped, see `walk.walk`.

    Args:
      root: the data folder, or its address in a bucket (see `storage`).
      train: folder of the training classes, relative to `root`. Empty: `train` or `training` in
        upper or lower case, or else `root` itself; see `set_folders.choose`.
      validation: folder of the validation classes. Empty: a folder beside the training folder that
        has one of the names in `set_folders.NAMES`, if there is one.
      test: the same for testing. A folder without subfolders is a test set without labels.
      classes: file of class names in the order of their ids; empty: folder names of training.
      cache: folder for the index of large sets, see `index_cache.cached`. It counts as long as
        every folder is as it was, see `walk.state`; then nothing is walked.

    Returns:
      `Splits`.

    Raises:
      InputError: if a folder is missing, is empty or contains the folder of another set; if a
        training image is in no class folder; if sets and classes cannot be told apart.
    """
    if not root:
        raise InputError('data.root: empty; expected the folder of the images.')
    chosen = set_folders.choose(root, train, validation, test)
    _check_apart(root, chosen)
    indexes = {split: _read(root, name, cache) for split, name in chosen.items()}
    if os.path.normpath(train or 'unset') != '.':
        set_folders.check_classes(_place(root, chosen['train']), indexes['train'].names)
    origins = {split: _place(root, name) for split, name in chosen.items()}
    return image_lists.assemble(
        indexes, origins, lambda _, found: {'paths': found.paths, 'root': root}, classes)


def _place(root, name):
    return root if name in ('', '.') else os.path.join(root, name)


def _check_apart(root, folders):
    places = {split: os.path.realpath(os.path.join(root, name)) for split, name in folders.items()}
    for split, place in places.items():
        for other, outer in places.items():
            if split != other and os.path.commonpath([place, outer]) == outer:
                raise InputError(f'data.{split}: the folder {place} lies in {outer} of '
                                 f'data.{other}; expected separate folders.')


def _read(root, name, cache):
    top = _place(root, name)
    if not storage.is_folder(top):
        raise InputError(f'{top}: no such folder; expected one with a subfolder for each class.')
    if storage.is_address(top):
        return _walk(top, name)
    begun = time.time_ns()
    found = index_cache.cached(
        [], ['folder', os.path.abspath(top), name, _VERSION], cache, lambda: _walk(top, name),
        lambda index: index.folders is not None and _as_they_were(top, index.folders),
        lambda index: len(index.paths) >= _LARGE
        and index.folders['state'][:, :2].max() < begun - _TICK)
    walk.tell(top, found.left_out)
    return found


def _as_they_were(top, folders):
    start = os.path.join(os.fsencode(top), b'')
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        now = list(pool.map(lambda path: walk.state(start + path), folders['path'].tolist()))
    return bool((folders['state'] == np.array(now)).all())


def _walk(top, name):
    paths, codes, classes, states, told = [], [], [], {}, []
    for folder, folders, images in walk.walk(top, states, told):
        inside = os.path.relpath(folder, top)
        if not images and (folders or inside == '.'):
            continue
        start = os.path.normpath(os.path.join(name, inside))
        paths += [os.fsencode(os.path.join(start, image) if start != '.' else image)
                  for image in images]
        codes += [-1 if inside == '.' else len(classes)] * len(images)
        if inside != '.':
            classes.append(_class_name(inside, top))
    if not paths:
        walk.tell(top, told[0])
        raise InputError(f'{top}: no image found; expected files that end with '
                         f'{" ".join(walk.ENDINGS)}.')
    if not states:
        walk.tell(top, told[0])
        return image_lists.index(paths, codes, classes, top)
    walked = np.zeros(len(states), [('path', f'S{max(map(len, map(os.fsencode, states)))}'),
                                    ('state', '<i8', 3)])
    walked['path'] = [os.fsencode(os.path.relpath(folder, top)) for folder in states]
    walked['state'] = list(states.values())
    return image_lists.index(paths, codes, classes, top)._replace(
        folders=walked, left_out=told[0])


def _class_name(inside, top):
    name = inside.replace(os.sep, '/')
    try:
        name.encode('utf-8')
    except UnicodeEncodeError as error:
        raise InputError(f'{top}: the folder {os.fsencode(inside)!r} has a name that is not UTF-8; '
                         'expected UTF-8 names.') from error
    return name
