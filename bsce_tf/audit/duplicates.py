"""Finds near-duplicate images by their features, under the same label or under two.

The features are the network's, averaged over the crops and scaled to length 1. Longer ones are
projected to 128 numbers by a random matrix (Johnson and Lindenstrauss 1984). That changes a cosine
c by about (1 − c²) / √128, next to nothing for near-duplicates. In float16, those of 2.5 million
images take 0.64 GB, and so does their index. Their mean is subtracted before the comparison:
features after a ReLU are never negative, so otherwise all images would look alike.
"""

import numpy as np
import tensorflow as tf

from bsce_tf.data import clean_list
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

NAME = 'near_duplicates.csv'
COLUMNS = ('path_a', 'label_a', 'path_b', 'label_b', 'similarity', 'same_label')
WIDTH = 128  # of a projected feature, at most
NEIGHBOURS = 10  # nearest images that are compared with each image
_EXACT = 20_000  # images, up to which all pairs are compared
_QUERIES = 2**13  # images searched for at a time
_PROBES = 16  # cells that are searched for the neighbours of an image
_ROUNDING = 1e-3  # of a cosine of two vectors of length 1 in float16
_SAMPLE = 64  # images sampled per cell, to compute the cells


def check(similarity):
    """Raises InputError if near-duplicates are asked for and faiss is not installed."""
    if similarity:
        try:
            import faiss  # noqa: F401
        except ImportError as error:
            raise InputError(f'audit.duplicate_similarity: found {similarity}, which needs faiss; '
                             "expected 0, or `pip install 'bsce-tf[audit]'`.") from error


def projected(features):
    """float16 `[n, min(d, 128)]` of features `[n, scales, d]`: averaged, of length 1, projected."""
    mean = tf.math.l2_normalize(tf.reduce_mean(features, axis=1), axis=1)
    width = mean.shape[1]
    if width > WIDTH:
        matrix = np.random.default_rng(0).normal(0, WIDTH ** -0.5, (width, WIDTH))
        mean = tf.matmul(mean, tf.constant(matrix, tf.float32))
    return tf.cast(mean, tf.float16)


def pairs(features, good, similarity):
    """Pairs of images whose features are similar.

    Up to 20,000 images, all pairs are compared. Of more images, neighbours are searched in the
    nearest 16 of the 4·√N cells of an inverted file; that can miss a pair.

    Args:
      features: float `[N, d]`, see `projected`; they are centred here.
      good: bool `[N]`; False for bad images, which are left out.
      similarity: least cosine, above 0 to 1.

    Returns:
      (int64 `[m]`, int64 `[m]`, float32 `[m]`): index of the first image, of the second, which is
      larger, and cosine; most similar first. Only the 10 nearest neighbours of an image count.
    """
    chosen = np.flatnonzero(good)
    vectors = _centred(features, chosen)
    index = _index(vectors)
    count = min(NEIGHBOURS + 1, len(chosen))  # one is the image itself
    found = []
    for begin in range(0, len(chosen), _QUERIES):
        queries = vectors[begin:begin + _QUERIES].astype(np.float32)
        cosines, others = index.search(queries, count)
        rows = np.arange(begin, begin + len(queries))[:, None]
        wanted = (others >= 0) & (others != rows) & (cosines >= similarity - _ROUNDING)
        a, b = np.broadcast_to(rows, others.shape)[wanted], others[wanted]
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1))
    both = np.unique(np.concatenate(found), axis=0)
    exact = _cosines(vectors, both)
    order = np.argsort(-exact, kind='stable')
    order = order[exact[order] >= similarity - 1e-6]  # of float32
    first, second = chosen[both[order]].T
    return first, second, exact[order]


def write(folder, train, found):
    """Writes near_duplicates.csv.

    Args:
      folder: pathlib.Path.
      train: the `Examples`.
      found: of `pairs`.
    """
    names, labels, classes = records.names(train), train.labels, train.class_names
    clean_list.write_rows(folder / NAME, COLUMNS, (
        (bytes(names[a]), classes[labels[a]], bytes(names[b]), classes[labels[b]], f'{cosine:.4f}',
         'yes' if labels[a] == labels[b] else 'no') for a, b, cosine in zip(*found, strict=True)))


def _centred(features, chosen):
    """float16 `[n, d]` of length 1, without the mean; a block at a time."""
    mean = sum(features[part].sum(axis=0, dtype=np.float64)
               for part in _blocks(chosen)) / max(len(chosen), 1)
    vectors = np.empty((len(chosen), features.shape[1]), np.float16)
    for number, part in enumerate(_blocks(chosen)):
        block = features[part].astype(np.float32) - mean.astype(np.float32)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        begin = number * _QUERIES
        vectors[begin:begin + len(part)] = block / np.maximum(lengths, 1e-12)
    return vectors


def _index(vectors):
    import faiss
    number, width = vectors.shape
    if number <= _EXACT:
        index = faiss.IndexFlatIP(width)
    else:
        cells = int(4 * number ** 0.5)
        index = faiss.index_factory(width, f'IVF{cells},SQfp16', faiss.METRIC_INNER_PRODUCT)
        sample = np.random.default_rng(0).choice(number, min(number, _SAMPLE * cells), False)
        index.train(vectors[np.sort(sample)].astype(np.float32))
        index.nprobe = _PROBES
    for begin in range(0, number, _QUERIES):
        index.add(vectors[begin:begin + _QUERIES].astype(np.float32))
    return index


def _cosines(vectors, both):
    found = np.empty(len(both), np.float32)
    for begin in range(0, len(both), _QUERIES):
        first, second = vectors[both[begin:begin + _QUERIES].T].astype(np.float32)
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)
        found[begin:begin + _QUERIES] = np.minimum(cosines, 1.0)
    return found


def _blocks(chosen):
    return [chosen[begin:begin + _QUERIES] for begin in range(0, len(chosen), _QUERIES)]
