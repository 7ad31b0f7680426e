"""How many near-duplicates an audit finds among many images, how fast and in how much memory.

  python benchmarks/duplicates.py [--images=2500000 --classes=50030]

Features of 128 numbers in clusters, one a class, with sizes that fall as a power. One image in
twenty is a copy of another to which noise is added, so that their cosine, with the mean taken off,
is between about 0.98 and 1. Prints the share of those copies that are found, of all and of those in
the largest classes, where neighbours crowd. 2.5 million images take a quarter of an hour and 3 GB.
"""

import argparse
import pathlib
import resource
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from bsce_tf.audit import duplicates

SIMILARITY = 0.98
_COPIES = 20  # one image in so many is a copy
_BLOCK = 2**16


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=200_000)
    parser.add_argument('--classes', type=int, default=4_000)
    options = parser.parse_args()
    features, originals, copies, large = _features(options.images, options.classes)
    start, begin = _peak(), time.perf_counter()
    first, second, cosines = duplicates.pairs(
        features, np.ones(options.images, bool), SIMILARITY)
    seconds = time.perf_counter() - begin
    peak = _peak()
    near = _cosines(features, originals, copies) >= SIMILARITY
    planted = np.stack([np.minimum(originals, copies), np.maximum(originals, copies)], 1)[near]
    keys = first.astype(np.int64) * options.images + second
    found = np.isin(planted[:, 0] * options.images + planted[:, 1], keys)
    print(f'{options.images:,} images, {options.classes:,} classes: {found.mean():.4f} of '
          f'{len(found):,} copies found, {found[large[near]].mean():.4f} of those in the largest '
          f'hundredth of the classes; {len(first):,} pairs in all, cosines from '
          f'{cosines.min():.4f}; {seconds:.1f} s; peak {peak:.2f} GB, {start:.2f} GB of it before.')


def _features(images, classes):
    """(float16 `[images, 128]`, originals, their copies, whether of a large class)."""
    rng = np.random.default_rng(0)
    sizes = np.arange(1, classes + 1) ** -0.7
    labels = rng.choice(classes, images, p=sizes / sizes.sum())
    centres = rng.normal(size=(classes, duplicates.WIDTH)).astype(np.float32)
    features = np.empty((images, duplicates.WIDTH), np.float16)
    for at in range(0, images, _BLOCK):
        part = centres[labels[at:at + _BLOCK]]
        part = part + rng.normal(scale=0.5, size=part.shape)
        features[at:at + _BLOCK] = part / np.linalg.norm(part, axis=1, keepdims=True)
    chosen = rng.permutation(images)[:2 * (images // _COPIES)].reshape(2, -1)
    originals, copies = chosen
    angles = rng.uniform(0, 0.19, len(copies))  # cos 0.19 = 0.982
    for at in range(0, len(copies), _BLOCK):
        part = features[originals[at:at + _BLOCK]].astype(np.float32)
        noise = rng.normal(scale=duplicates.WIDTH ** -0.5, size=part.shape)
        part = part + np.tan(angles[at:at + _BLOCK])[:, None] * noise
        features[copies[at:at + _BLOCK]] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return features, originals, copies, labels[originals] < classes / 100


def _cosines(features, first, second):
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = []
    for at in range(0, len(first), _BLOCK):
        a, b = (features[each[at:at + _BLOCK]].astype(np.float32) - mean
                for each in (first, second))
        found.append((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    return np.concatenate(found)


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == '__main__':
    main()
