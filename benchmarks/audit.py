"""Memory and time of an audit's arithmetic at AliProducts' size, without a network.

  python benchmarks/audit.py [--images=20000]

2.5 million images, 50,030 classes. Probabilities come in batches of whole rows, as from a network:
a softmax of which a part is on the true class, a part on a few random classes and the rest is
spread over all. Of every row the 20 best classes are kept; then scores, thresholds, the confident
joint, the quality of the predictions, the list and what to drop are computed as --mode=audit does.
Prints the seconds of making the rows and of the audit apart, and the peak of resident memory, which
is to be below 6 GB.
"""

import argparse
import pathlib
import resource
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from bsce_tf.audit import cleaning, confident, quality, top_probabilities

IMAGES, CLASSES, TOP_K, FOLDS = 2_500_000, 50_030, 20, 5
_SPREAD = 8  # random classes that get a part


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=IMAGES)
    parser.add_argument('--classes', type=int, default=CLASSES)
    parser.add_argument('--batch', type=int, default=64)
    options = parser.parse_args()
    start = _peak()
    labels, true = _labels(options.images, options.classes)
    sparse, making, keeping = _stream(labels, true, options.classes, options.batch)
    begin = time.perf_counter()
    listed, decision = _audit(labels, sparse, options.classes)
    working = time.perf_counter() - begin
    wrong = labels != true
    kept = sum(part.nbytes for part in sparse) / options.images
    print(f'{options.images:,} images, {options.classes:,} classes, batches of {options.batch}: '
          f'{making:.1f} s to make the rows, {keeping:.1f} s to keep {TOP_K} classes of each, '
          f'{working:.1f} s for scores, joint and list; {kept:.0f} bytes an image are kept; peak '
          f'{_peak():.2f} GB, {start:.2f} GB of it before. Listed {listed.sum():,}, '
          f'{wrong[listed].mean():.3f} of them wrong, {listed[wrong].mean():.3f} of all wrong '
          f'ones; dropped {decision.dropped.sum():,}.')


def _labels(images, classes):
    """(given labels, a fifth of them wrong; true ones), of class sizes that fall as a power."""
    rng = np.random.default_rng(0)
    weights = np.arange(1, classes + 1) ** -0.7
    true = rng.choice(classes, images, p=weights / weights.sum()).astype(np.int32)
    moved = rng.random(images) < 0.2
    return np.where(moved, rng.integers(0, classes, images), true).astype(np.int32), true


def _stream(labels, true, classes, batch):
    """(`Sparse`, seconds to make the rows, seconds to keep what is kept)."""
    rng = np.random.default_rng(1)
    found = top_probabilities.empty(len(labels), TOP_K)
    making = keeping = 0.0
    for first in range(0, len(labels), batch):
        at = slice(first, min(first + batch, len(labels)))
        begin = time.perf_counter()
        rows = _rows(rng, true[at], classes)
        middle = time.perf_counter()
        best = top_probabilities.reduce(rows, labels[at], TOP_K)
        for values, new in zip(found, best, strict=True):
            values[at] = new
        making += middle - begin
        keeping += time.perf_counter() - middle
    return found, making, keeping


def _rows(rng, true, classes):
    """float32 `[b, K]` that sum to 1."""
    rows = rng.random((len(true), classes), np.float32)
    places = np.arange(len(true))
    rows *= 0.1 / rows.sum(axis=1, keepdims=True)
    parts = rng.dirichlet(np.ones(_SPREAD + 1) * 0.7, len(true)).astype(np.float32) * 0.9
    parts = np.sort(parts, axis=1)[:, ::-1]  # the largest is of the true class
    rows[places, true] += parts[:, 0]
    np.add.at(rows, (places[:, None], rng.integers(0, classes, (len(true), _SPREAD))),
              parts[:, 1:])
    return rows / rows.sum(axis=1, keepdims=True)


def _audit(labels, sparse, classes):
    quality.measure(labels, sparse, np.arange(len(labels)) % FOLDS, classes)
    limits = confident.thresholds(labels, sparse.given, classes)
    guess = confident.guess(labels, sparse, limits)
    scores = confident.scores(labels, sparse, limits, 'self_confidence')
    listed = confident.issues(labels, sparse, guess.classes)
    suggested = confident.suggestions(labels, sparse)
    confident.noise_rates(confident.joint(labels, guess.classes, classes), classes)
    decision = cleaning.decide(labels, listed, scores, suggested, guess.classes == suggested,
                               classes, 'drop', 5)
    return listed, decision


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == '__main__':
    main()
