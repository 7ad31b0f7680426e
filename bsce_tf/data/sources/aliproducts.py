"""AliProducts and data of its shape: JSON lists beside folders of images.

`train.json` holds `{"images": [{"class_id": "7", "image_id": "a.jpg"}, …]}` and the images of the
list `train.json` are `train/<class_id>/<image_id>` or `train/<image_id>`: looking for a few of them
decides which. Entries of a test list have no `class_id`.
"""

import array
import json
import os
import pathlib

import numpy as np
from absl import logging

from bsce_tf.data import texts
from bsce_tf.data.listing import image_lists, index_cache, tables
from bsce_tf.errors import InputError

_VERSION = 2  # of the index; increase it when a list is read differently
_TRIED = 20  # images of a list, spread over it, that are looked for on the disk


def load(*, root, train='', validation='', test='', classes='', cache=''):
    """Reads the lists.

    Args:
      root: the data folder.
      train: JSON list relative to `root`; empty for `train.json`.
      validation: the same; empty for `val.json` if there is one.
      test: the same; empty for none. May be without labels.
      classes: file of class names in the order of their ids; empty: class ids of the training
        list, by number.
      cache: folder for the index, see `index_cache.cached`.

    Returns:
      `Splits`; the class names are the class ids as they are written in the lists.

    Raises:
      InputError: if a list is missing, is not of this shape or leaves the data folder.
    """
    if not root:
        raise InputError('data.root: empty; expected the folder with train.json and its images.')
    train = train or 'train.json'
    if not validation and (pathlib.Path(root) / 'val.json').exists():
        validation = 'val.json'
    lists = {'train': train, 'validation': validation, 'test': test}
    origins = {split: os.path.join(root, name) for split, name in lists.items()}
    indexes = {split: _read(root, name, cache) if name else None for split, name in lists.items()}
    return image_lists.assemble(
        indexes, origins, lambda _, found: {'paths': found.paths, 'root': root}, classes)


def _read(root, name, cache):
    path = os.path.join(root, name)
    folder = pathlib.PurePath(name).stem
    return index_cache.cached(
        [path], ['aliproducts', _VERSION, folder], cache, lambda: _build(root, path, folder),
        lambda found: bool(_there(root, [found.paths[i] for i in _spread(len(found.paths))])))


def _build(root, path, folder):
    images, codes, names = _parse(path)
    image_lists.check_inside(texts.of(images), path)
    start = folder.encode() + b'/'
    folders = [start + name.encode() + b'/' for name in names] + [start]  # −1: no class
    tried = _spread(len(images))
    nested = _there(root, [folders[codes[i]] + images[i] for i in tried])
    flat = _there(root, [start + images[i] for i in tried])
    if not nested and not flat:
        logging.warning('%s: none of %d images that were looked for lies in %s or in folders of '
                        'classes there.', path, len(tried), os.path.join(root, folder))
    if nested < max(flat, 1):
        folders = [start] * len(folders)
    for i, code in enumerate(codes):
        images[i] = folders[code] + images[i]
    return image_lists.index(images, np.frombuffer(codes, np.int32), names, path)


def _spread(count):
    return np.unique(np.linspace(0, count - 1, _TRIED).astype(int)).tolist()


def _there(root, paths):
    """How many of the paths (bytes, relative to `root`) exist."""
    return sum(os.path.exists(os.path.join(os.fsencode(root), path)) for path in paths)


def _parse(path):
    """(images as bytes, class codes, class names), in one pass that keeps no dict per image."""
    images, codes, ids = [], array.array('i'), {}

    def entry(found):
        if 'image_id' not in found:
            return found
        images.append((tables.text_of(found['image_id']) or '').encode())
        name = tables.text_of(found.get('class_id'))
        codes.append(-1 if name is None else ids.setdefault(name, len(ids)))
        return None

    try:
        with open(path, 'rb') as file:
            whole = json.loads(file.read(), object_hook=entry, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        where = f'image {len(images)}: ' if images else ''
        raise InputError(f'{path}: not JSON of this form ({where}{error}); expected '
                         '{"images": […]}.') from error
    listed = whole.get('images') if isinstance(whole, dict) else None
    if not isinstance(listed, list):
        raise InputError(f'{path}: no list under the key "images"; expected {{"images": […]}}.')
    for i, item in enumerate(listed):
        if item is not None:
            raise InputError(f'{path}: image {i + 1} is {str(item)[:80]}; expected an object with '
                             'image_id and class_id.')
    if len(listed) != len(images):
        raise InputError(f'{path}: objects with an image_id outside of "images"; expected all of '
                         'them there.')
    if not images:
        raise InputError(f'{path}: no image found; expected at least one.')
    return images, codes, list(ids)
