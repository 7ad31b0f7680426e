"""Near-copies across splits: images that look the same, though their bytes differ.

Each image is decoded and shrunk to 16 × 16 grey pixels, each the mean of what it covers. Two images
are near-copies if these pixels are correlated by at least a given number. So an image that is made
smaller, larger or brighter, or is written again as JPEG, is a near-copy; one that has lost an edge,
was mirrored or turned is none. Images whose pixels hardly differ, such as empty ones, are left out.
"""

import threading

import numpy as np
import tensorflow as tf

from bsce_tf.catalogue import hashes
from bsce_tf.data import clean_list, loading
from bsce_tf.data.images import decode
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.index import kinds

NAME = 'near_copies.csv'
COLUMNS = ('split_a', 'path_a', 'label_a', 'split_b', 'path_b', 'label_b', 'correlation')
SIDE = 16  # pixels of a thumbnail
NEIGHBOURS = 10  # most alike images of the larger split that are compared with each of the smaller
_WORDS = SIDE * SIDE // 8
_FLAT = 2.0  # standard deviation of the pixels, of 0 to 255, below which an image is left out
_PROBES = 16  # cells of the index that are searched
_BLOCK = 2**13
_SHOWN = 10


def kind(max_pixels):
    """`hashes.Kind` of thumbnails; images of more than `max_pixels` are left out, 0: no limit."""
    at_once = threading.BoundedSemaphore(loading.cores())  # decoded images take memory

    def of(image):
        try:
            with at_once, tf.device('/CPU:0'):
                small = _decoded(image, max_pixels) if isinstance(image, bytes) else (
                    thumbnail(image))
            return small.numpy().reshape(-1).view('<u8')
        except (tf.errors.OpError, UnicodeDecodeError) as error:  # of bytes in its message
            raise InputError('does not decode') from error

    return hashes.Kind('thumbnails', _WORDS, of, f'{SIDE} pixels, of at most {max_pixels}')


@tf.function(input_signature=[tf.TensorSpec([None, None, None], tf.uint8)], autograph=False)
def thumbnail(image):
    """uint8 `[16, 16]` of an image, uint8 `[height, width, channels]`."""
    small = tf.image.resize(image, [SIDE, SIDE], method='area')
    return tf.cast(tf.round(tf.reduce_mean(small, axis=2)), tf.uint8)


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)],
             autograph=False)
def _decoded(data, max_pixels):
    return thumbnail(decode.decode(data, max_pixels))


def pairs(splits, thumbnails, digests, least):
    """Pairs of near-copies in two splits.

    Of equal files of a split the first stands for all. Of each image of the smaller split, the 10
    most alike of the larger one are compared. With more than 200,000 images in the larger one, they
    are searched in some cells of an index, which can miss a pair.

    Args:
      splits: dict of split → `Examples`.
      thumbnails: dict of split → uint64 `[N, 32]`, of `hashes.digests` with `kind`.
      digests: dict of split → uint64 `[N, 2]`; equal files are no near-copies.
      least: smallest correlation, above 0 to 1.

    Returns:
      List of ((split, index), (split, index), correlation), the highest first.
    """
    vectors = {split: _Vectors(thumbnails[split], _first(digests[split])) for split in splits}
    found, names = [], list(splits)
    for number, one in enumerate(names):
        for other in names[number + 1:]:
            small, large = sorted((one, other), key=lambda split: len(vectors[split].chosen))
            for i, j, value in _between(vectors[small], vectors[large], least):
                if (digests[small][i] != digests[large][j]).any():
                    ends = {small: i, large: j}
                    found.append(((one, ends[one]), (other, ends[other]), value))
    return sorted(found, key=lambda pair: -pair[2])


def check(splits):
    """Raises InputError if there is nothing to compare, or nothing to do it with."""
    if len(splits) < 2:
        raise InputError('inspect.near_copies: found training images alone; expected a set to '
                         'compare them with (data.validation, data.test), or 0.')
    kinds.check('inspect.near_copies')


def _first(digests):
    """Sorted int64: of equal files the first; all that have no digest."""
    _, first = np.unique(digests, axis=0, return_index=True)
    return np.union1d(first, np.flatnonzero(~digests.any(axis=1)))


class _Vectors:
    """Thumbnails without their mean, of length 1, so that a product is a correlation."""

    def __init__(self, thumbnails, numbers):
        self._pixels = np.ascontiguousarray(thumbnails).view(np.uint8)
        self.chosen = np.concatenate([np.zeros(0, np.int64), *(
            part[self._pixels[part].std(axis=1) >= _FLAT]
            for part in np.array_split(numbers, len(numbers) // _BLOCK + 1))])

    def of(self, numbers):
        """float32 `[n, 256]` of the images at `numbers`."""
        pixels = self._pixels[numbers].astype(np.float32)
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)

    def blocks(self):
        """Yields int64 `[≤ 8192]`, the numbers of the chosen images."""
        for begin in range(0, len(self.chosen), _BLOCK):
            yield self.chosen[begin:begin + _BLOCK]


def _between(small, large, least):
    """Yields (index in `small`, index in `large`, correlation)."""
    if not len(small.chosen):
        return
    name = kinds.wanted(kinds.AUTO, len(large.chosen))
    drawn = np.random.default_rng(0).permutation(large.chosen)
    index = kinds.build(name, SIDE * SIDE, len(large.chosen), lambda n: large.of(drawn[:n]))
    for numbers in large.blocks():
        index.add_with_ids(large.of(numbers), numbers)
    for numbers in small.blocks():
        queries = small.of(numbers)
        _, ids = kinds.search(index, queries, min(NEIGHBOURS, len(large.chosen)), _PROBES)
        for query, i, near in zip(queries, numbers.tolist(), ids, strict=True):
            near = near[near >= 0]
            exact = large.of(near) @ query
            for j, value in zip(near.tolist(), exact.tolist(), strict=True):
                if value >= least - 1e-5:  # of float32
                    yield i, j, min(value, 1.0)


def summary(splits, found, least, unreadable):
    """Dict of JSON values for the report, of the result of `pairs`.

    Args:
      splits: dict of split → `Examples`.
      found: of `pairs`.
      least: as `pairs` had it.
      unreadable: dict of split → number of images that did not decode.
    """
    images = {split: len({i for pair in found for name, i in pair[:2] if name == split})
              for split in splits}
    first = [[[split, splits[split].name(i)] for split, i in pair[:2]] + [round(pair[2], 4)]
             for pair in found[:_SHOWN]]
    return {'correlation': least, 'pairs': len(found), 'images': images, 'not_decoded': unreadable,
            'first': first}


def lines(found):
    """The report of `summary` as lines of text."""
    images = ', '.join(f'{split} {number}' for split, number in found['images'].items())
    text = [f'near-copies across splits, pairs: {found["pairs"]} (images: {images})']
    text += [f'  {a[0]}:{a[1]} ~ {b[0]}:{b[1]} {value:.4f}' for a, b, value in found['first']]
    text += [f'  of {split} not decoded and not compared: {number}; bsce verify names them'
             for split, number in found['not_decoded'].items() if number]
    return text


def write(path, splits, found):
    """Writes near_copies.csv, a row a pair."""
    names = {split: records.names(examples) for split, examples in splits.items()}

    def told(split, i):
        label = splits[split].labels[i]
        return (split, bytes(names[split][i]),
                splits[split].class_names[label] if label >= 0 else '')

    clean_list.write_rows(path, COLUMNS, ((*told(*a), *told(*b), f'{value:.4f}')
                                          for a, b, value in found))
