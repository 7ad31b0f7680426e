"""Time and memory of an index of a million vectors: in cells (ivf) against exact search by faiss.

  python -m benchmarks.neighbours [--images=1000000 --width=512]

Vectors of length 1 in clusters, one a class, 20 images each on average. Both indexes are built in
processes of their own by `bsce_tf.index.kinds`, then search in turns, for batches of 64 queries,
which are images with noise. Of the cells, 32 are searched. Peaks of resident memory have the
imports included, and the vectors as they come in, 65,536 at a time. Computing 4,000 cells takes
most of the time.
"""

import json
import sys
import time

import numpy as np

from benchmarks import measure

_BATCH, _BLOCK, _PER_CLASS, _PROBES, _COUNT = 64, 2**16, 20, 32, 10


def blocks(images, width):
    """Yields float32 `[≤ 65536, width]` of length 1; the same at every call."""
    for number, begin in enumerate(range(0, images, _BLOCK)):
        yield _noisy(begin + np.arange(min(_BLOCK, images - begin)), images, width, number)


def queries(images, width):
    """float32 `[256, width]`: other images of classes that are there."""
    return _noisy(np.random.default_rng(1).integers(0, images, 256), images, width, -1)


def _noisy(places, images, width, seed):
    classes = places * 7919 % max(images // _PER_CLASS, 1)  # images of a class lie apart
    found = np.stack([_centre(k, width) for k in classes.tolist()]) if len(places) < 1000 else (
        _centres(classes, width))
    found = found + np.random.default_rng([2, seed + 1]).normal(size=found.shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _centre(k, width):
    return np.random.default_rng([3, k]).normal(scale=1.5, size=width).astype(np.float32)


def _centres(classes, width):
    used, back = np.unique(classes, return_inverse=True)
    return np.stack([_centre(k, width) for k in used.tolist()])[back]


def work(settings):
    """A worker: builds an index, then searches a batch a turn."""
    from bsce_tf.index import kinds
    kind, images, width = (settings[name] for name in ('kind', 'images', 'width'))

    def sample(count):
        nonlocal drawing
        share, since = min(count / images, 1.0), _now()
        found = np.concatenate([block[:max(int(share * len(block)), 1)]
                                for block in blocks(images, width)])
        drawing += _now() - since
        return found

    drawing, spent = np.zeros(2), _now()
    index, begin = kinds.build(kind, width, images, sample), 0
    for block, took in _timed(blocks(images, width)):
        drawing += took
        index.add_with_ids(block, begin + np.arange(len(block)))
        begin += len(block)
    seconds, processor = (_now() - spent - drawing).tolist()
    wanted = queries(images, width)
    nearest = kinds.search(index, wanted, _COUNT, _PROBES)[1]
    turn = iter(range(10**9))

    def step():
        at = next(turn) * _BATCH % len(wanted)
        begin = time.perf_counter()
        kinds.search(index, wanted[at:at + _BATCH], _COUNT, _PROBES)
        return (time.perf_counter() - begin) / _BATCH

    measure.serve(step, seconds=seconds, processor=processor, nearest=nearest.tolist())


def _timed(items):
    """Yields (item, what it took, see `_now`)."""
    while True:
        begin = _now()
        item = next(items, None)
        if item is None:
            return
        yield item, _now() - begin


def _now():
    """Seconds passed, and seconds of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def rows(options):
    """Yields `measure.Row`s: search, building, memory."""
    settings = {'images': options.images, 'width': options.width}
    name = f'{options.images:,} vectors of {options.width}'
    with (measure.Worker(sys.executable, __file__, {'kind': 'ivf', **settings}) as ours,
          measure.Worker(sys.executable, __file__, {'kind': 'exact', **settings}) as theirs):
        turns = [(ours.turn(), theirs.turn()) for _ in range(options.repeats + 1)][1:]
        same = [len(set(a) & set(b)) / _COUNT for a, b in zip(
            ours.facts['nearest'], theirs.facts['nearest'], strict=True)]
        first = [a[0] == b[0] for a, b in zip(
            ours.facts['nearest'], theirs.facts['nearest'], strict=True)]
        facts = json.dumps({'cells searched': _PROBES, 'same nearest': round(float(
            np.mean(first)), 4), f'of the {_COUNT} nearest': round(float(np.mean(same)), 4)})
        peer = 'faiss, exact'
        yield measure.row(f'index of {name}: search, a query', peer,
                          [a[0] for a, _ in turns], [b[0] for _, b in turns], note=facts)
        yield measure.row(f'index of {name}: build', peer, [ours.facts['seconds']],
                          [theirs.facts['seconds']], inverse=True, note=(
                              f'processor: {ours.facts["processor"]:.1f} s and '
                              f'{theirs.facts["processor"]:.1f} s'))
        yield measure.row(f'index of {name}: peak memory', peer, [turns[-1][0][1]],
                          [turns[-1][1][1]], unit='MB', inverse=True)


if __name__ == '__main__':
    measure.run(__doc__, rows, work, images=(1_000_000, 3_000, 'vectors'),
                width=(512, 32, 'numbers in a vector'), repeats=(15, 5, 'turns'))
