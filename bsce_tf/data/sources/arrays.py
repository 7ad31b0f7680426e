"""Decoded images in NumPy files, for small images that fit into memory."""

import pathlib

import numpy as np

from bsce_tf import files
from bsce_tf.data import label_map
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError

CLASSES = 'class_names.json'
SPLITS = ('train', 'validation', 'test')


def load(*, root):
    """Opens what `write` wrote.

    Args:
      root: folder with class_names.json and two files for each split: train_images.npy, uint8 `[N,
        height, width, channels]` with 1 or 3 channels, and train_labels.npy, int `[N]`. Only the
        split `train` is required.

    Returns:
      `Splits`. Images stay in their file until a run takes those that it needs.

    Raises:
      InputError: if a file is missing, damaged or holds something else.
    """
    folder = pathlib.Path(root)
    class_names = label_map.load(folder / CLASSES)
    return Splits(*(_split(folder, split, class_names)
                    if split == 'train' or exists(folder, split) else None
                    for split in SPLITS))


def write(folder, split, images, labels, class_names):
    """Writes a split: each file whole or not at all, the images last.

    Args:
      folder: path; made where it is missing.
      split: of `SPLITS`.
      images: uint8 `[N, height, width, channels]`.
      labels: int `[N]`.
      class_names: K names, the same for all splits of a folder.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    label_map.save(folder / CLASSES, class_names)
    for path, array in ((_labels(folder, split), np.asarray(labels, np.int32)),
                        (_images(folder, split), images)):
        with files.replacing(path) as temporary, open(temporary, 'wb') as file:
            np.save(file, array)


def exists(folder, split):
    """Whether a split was written whole."""
    return _images(pathlib.Path(folder), split).exists()


def _split(folder, split, class_names):
    images, labels = _read(_images(folder, split)), _read(_labels(folder, split))
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(f'{_images(folder, split)}: found {images.dtype} of shape {images.shape}; '
                         'expected uint8 [N, height, width, 1 or 3].')
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f'{_labels(folder, split)}: found {labels.dtype}; expected whole numbers.')
    return Examples(labels, class_names, images=images, origin=f'{folder}, {split}')


def _read(path):
    try:
        return np.load(path, mmap_mode='r')
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}; expected a NumPy file of '
                         'data.source=arrays.') from error
    except ValueError as error:  # pickled objects are refused, too: they may run any code
        raise InputError(f'{path}: damaged ({error}); expected a NumPy file of '
                         'data.source=arrays.') from error


def _images(folder, split):
    return folder / f'{split}_images.npy'


def _labels(folder, split):
    return folder / f'{split}_labels.npy'
