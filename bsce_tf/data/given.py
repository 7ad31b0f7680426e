"""`Examples` of data that a caller passes in Python: arrays, `tf.data` or lists of files."""

import os

import numpy as np
import tensorflow as tf

from bsce_tf.data import label_map
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.data.reading.records import Records, read_file
from bsce_tf.errors import InputError

SPLITS = ('train', 'validation', 'test')


class Encoded:
    """A store (see `records.Records`) of arrays and paths of image files, in any mixture.

    Args:
      items: sequence of uint8 `[height, width, channels]` or paths. Arrays are read as PNG, which
        is lossless.
    """

    def __init__(self, items):
        self._items = items

    def read(self, numbers):
        return [self._encoded(self._items[number]) for number in numbers]

    @staticmethod
    def _encoded(item):
        if isinstance(item, str | os.PathLike):
            return read_file(os.fsencode(item))
        return tf.io.encode_png(item).numpy()


def unlabelled(images):
    """`Examples` without labels of a list of paths and arrays; see `api.Run.predict`.

    Raises:
      InputError: if the list is empty or an array is not an image.
    """
    if isinstance(images, str | os.PathLike):
        raise InputError(f"images: found '{images}'; expected a list of paths or arrays.")
    items = [item if isinstance(item, str | os.PathLike) else _image(item, f'image {i}')
             for i, item in enumerate(images)]
    names = [os.fsencode(item) if isinstance(item, str | os.PathLike) else f'image {i}'.encode()
             for i, item in enumerate(items)]
    return Examples(np.full(len(items), -1), (), records=Records(Encoded(items), np.array(names)),
                    origin='images')


def splits(data, class_names=None):
    """`Splits` of a user's own data.

    Args:
      data: a labelled set, or a dict of them with 'train' and optionally 'validation' and 'test'. A
        set is a pair (images, labels): images uint8 `[N, height, width]` or `[N, height, width, 1
        or 3]`, or a list of such arrays or of paths of image files; labels `[N]`, ids 0 … K−1 or
        class names. Or it is an unbatched `tf.data.Dataset` of (image, label), which is read into
        memory once, in its order.
      class_names: K names by id; None: the names among the training labels, in the order of
        `label_map.ordered`, or the ids as text if labels are ids.

    Raises:
      InputError: if a set is empty, an array is not an image, or a label is unknown.
    """
    data = data if isinstance(data, dict) else {'train': data}
    if 'train' not in data or set(data) - set(SPLITS):
        raise InputError(f'data: found {", ".join(map(str, data))}; expected train and, if there '
                         'are, validation and test.')
    read = {name: _pair(part, name) for name, part in data.items() if part is not None}
    class_names = _class_names(read['train'][1], class_names)
    found = {name: _examples(images, _ids(labels, class_names, name), class_names, name)
             for name, (images, labels) in read.items()}
    return Splits(*(found.get(name) for name in SPLITS))


def _pair(part, name):
    """(images, NumPy array of labels) of one set."""
    if isinstance(part, tf.data.Dataset):
        pairs = list(part.as_numpy_iterator())
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            raise InputError(f'data, {name}: expected a tf.data.Dataset of (image, label).')
        images, labels = [image for image, _ in pairs], np.array([label for _, label in pairs])
    else:
        images, labels = part
        labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
        raise InputError(f'data, {name}: found {len(images)} images and labels of shape '
                         f'{labels.shape}; expected one label an image, at least one.')
    if labels.dtype.kind == 'S':
        labels = np.char.decode(labels, 'utf-8')
    if labels.dtype.kind not in 'iuUO':
        raise InputError(f'data, {name}: found labels of type {labels.dtype}; expected whole '
                         'numbers or names.')
    return images, labels


def _class_names(labels, class_names):
    if class_names is not None:
        return tuple(map(str, class_names))
    if labels.dtype.kind in 'iu':
        return tuple(map(str, range(int(labels.max()) + 1)))
    return tuple(label_map.ordered(set(map(str, labels))))


def _ids(labels, class_names, name):
    if labels.dtype.kind in 'iu':
        return labels  # Examples checks their range
    places = {text: i for i, text in enumerate(class_names)}
    lacking = sorted(set(map(str, labels)) - set(places))
    if lacking:
        raise InputError(f"data, {name}: found the class '{lacking[0]}' ({len(lacking)} such "
                         'classes); expected those of the training set.')
    return np.array([places[str(label)] for label in labels])


def _examples(images, labels, class_names, name):
    origin = f'data, {name}'
    if not isinstance(images, np.ndarray):
        items = [item if isinstance(item, str | os.PathLike) else _image(item, f'{origin}: {i}')
                 for i, item in enumerate(images)]
        shapes = {getattr(item, 'shape', None) for item in items}
        if len(shapes) > 1 or None in shapes:
            names = np.array([os.fsencode(item) if isinstance(item, str | os.PathLike)
                              else f'image {i}'.encode() for i, item in enumerate(items)])
            return Examples(labels, class_names, records=Records(Encoded(items), names),
                            origin=origin)
        images = np.stack(items)
    return Examples(labels, class_names, images=_image(images, origin, 'N, '), origin=origin)


def _image(item, name, before=''):
    """uint8 `[height, width, 1 or 3]` of one array; of a set, with 'N, ' before height."""
    image, axes = np.asarray(item), 3 + bool(before)
    if image.ndim == axes - 1:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != axes or image.shape[-1] not in (1, 3):
        found = 'images' if before else 'an array'
        raise InputError(f'{name}: found {found} of type {image.dtype} and shape {image.shape}; '
                         f'expected uint8 [{before}height, width] or [{before}height, width, 1 or '
                         '3].')
    return image
