"""Fashion-MNIST: 70,000 product photographs of Zalando, 28 × 28, grey, 10 classes."""

import gzip
import pathlib
import struct
import zlib

import numpy as np

from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError

CLASS_NAMES = ('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker',
               'Bag', 'Ankle boot')
_DEBIAN = 'usr/share/datasets/fashion-mnist'  # of the package dataset-fashion-mnist


def load(root='', train='', validation='', test=''):
    """Training and test split, 60,000 and 10,000 images.

    Args:
      root: folder with the four `.gz` files in MNIST's IDX format; empty: the folder of Debian's
        package, in / or in .data of the working folder or of this program's, or else a download by
        `keras.datasets`.
      train, validation, test: must be empty; the data set has its own splits.

    Raises:
      InputError: if a file is missing or damaged, or nothing can be downloaded.
    """
    for key, value in (('train', train), ('validation', validation), ('test', test)):
        if value:
            raise InputError(f"data.{key}: found '{value}'; expected nothing: fashion_mnist has "
                             'its own splits.')
    folders = [pathlib.Path(root)] if root else _usual_folders()
    for folder in folders:
        if (folder / 'train-labels-idx1-ubyte.gz').exists():
            arrays = [_idx(folder / f'{part}-{kind}-ubyte.gz') for part in ('train', 't10k')
                      for kind in ('images-idx3', 'labels-idx1')]
            return _splits(*arrays)
    if root:
        raise InputError(f'data.root: {root} has no train-labels-idx1-ubyte.gz; expected the four '
                         'files of Fashion-MNIST.')
    return _splits(*_download(folders))


def _usual_folders():
    here, ours = pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parents[3]
    return list(dict.fromkeys(top / _DEBIAN for top in (
        pathlib.Path('/'), here / '.data', ours / '.data')))


def _download(folders):
    import keras
    try:
        (train_images, train_labels), (test_images, test_labels) = (
            keras.datasets.fashion_mnist.load_data())
    except Exception as error:
        raise InputError(
            f'data.root: Fashion-MNIST is not in {", ".join(map(str, folders))} and could not be '
            f'downloaded ({error}); expected the Debian package dataset-fashion-mnist, a network, '
            'or data.root with its four files.') from error
    return train_images, train_labels, test_images, test_labels


def _splits(train_images, train_labels, test_images, test_labels):
    def examples(images, labels, origin):
        return Examples(labels, CLASS_NAMES, images=images[..., None], origin=origin)
    return Splits(train=examples(train_images, train_labels, 'Fashion-MNIST training split'),
                  validation=None,
                  test=examples(test_images, test_labels, 'Fashion-MNIST test split'))


def _idx(path):
    """Reads one gzipped IDX file of unsigned bytes."""
    try:
        data = gzip.decompress(path.read_bytes())
        dimensions = data[3]
        shape = struct.unpack(f'>{dimensions}I', data[4:4 + 4 * dimensions])
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise InputError(f'{path}: {error}; expected a file of Fashion-MNIST.') from error
