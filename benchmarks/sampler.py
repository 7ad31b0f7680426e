"""What the sampler costs at AliProducts' size, against tf.data's own ways to balance classes.

  python -m benchmarks.sampler

Square-root sampling (γ = 0.5) of 2.5 million images of 50,030 classes. Peers:
`Dataset.sample_from_datasets` with one shuffled data set a class, at the largest K of 100, 1,000,
10,000 and 50,030 that starts within a limit; and `rejection_resample` of the shuffled examples.
Each repeat is a process of its own for each way. The start is from the labels to the first batch;
memory is what the process takes more at its peak than before; the rate is of indices in batches of
64 after the first.
"""

import os
import sys
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf.data.sampler import Sampler  # noqa: E402

GAMMA, BATCH = 0.5, 64


def rows(options):
    size = options.images, options.classes
    most = largest(options)
    share = most / options.classes
    small = max(int(options.images * share), most), most
    yield from against('sample_from_datasets', small, options, {'start': '≥ 10', 'rate': '≥ 10'},
                       f'K is the largest of 100, 1,000, 10,000 and {options.classes:,} that '
                       f'sample_from_datasets starts within {options.limit} s')
    yield from against('rejection_resample', size, options, {'rate': '≥ 10'}, '')


def largest(options):
    """The largest K at which sample_from_datasets should start within the limit."""
    most = min(100, options.classes)
    for classes in (1000, 10_000, options.classes):
        if classes > options.classes:
            break
        images = max(int(options.images * most / options.classes), most)
        expected = start_of('sample_from_datasets', (images, most), options) * classes / most
        if expected > options.limit:
            break
        most = classes
    return most


def start_of(name, size, options):
    with worker(name, size, options) as process:
        return process.facts['start']


def worker(name, size, options):
    return measure.Worker(sys.executable, __file__, {
        'name': name, 'images': size[0], 'classes': size[1], 'batches': options.batches})


def against(peer, size, options, aims, note):
    """Rows for start, memory and rate."""
    found = {'bsce-tf': [], peer: []}
    for _ in range(options.repeats):
        for name, measured in found.items():
            with worker(name, size, options) as process:
                cost, _ = process.turn()
                measured.append((process.facts['start'], process.facts['memory'], cost))
    ours, theirs = np.array(found['bsce-tf']).T, np.array(found[peer]).T
    what = f'sampler, γ = {GAMMA}, N = {size[0]:,}, K = {size[1]:,}'
    for i, (name, key, unit) in enumerate((('to the first batch', 'start', 's'),
                                           ('memory', 'memory', 'MB'),
                                           ('rate', 'rate', 's/index'))):
        yield measure.row(f'{what}: {name}', f'tf.data {peer}', ours[i], theirs[i],
                          aims.get(key, ''), unit, note)


def labels_of(images, classes):
    """Labels of classes whose sizes fall as a power, each with at least one image."""
    rng = np.random.default_rng(0)
    share = np.arange(1, classes + 1) ** -0.7
    rest = rng.choice(classes, images - classes, p=share / share.sum())
    return np.concatenate([np.arange(classes), rest]).astype(np.int32)


def sampler(labels, classes):
    chosen = Sampler(labels, classes, gamma=GAMMA)
    return tf.data.Dataset.range(10**12).batch(BATCH).map(chosen, num_parallel_calls=2)


def sample_from_datasets(labels, classes):
    order = np.argsort(labels, kind='stable')
    counts = np.bincount(labels, minlength=classes)
    members = np.split(order, np.cumsum(counts)[:-1])
    share = counts ** (1 - GAMMA)
    parts = [tf.data.Dataset.from_tensor_slices(m).shuffle(len(m)).repeat() for m in members]
    return tf.data.Dataset.sample_from_datasets(
        parts, weights=share / share.sum(), seed=0).batch(BATCH)


def rejection_resample(labels, classes):
    counts = np.bincount(labels, minlength=classes)
    share = counts ** (1 - GAMMA)
    numbers = np.random.default_rng(0).permutation(len(labels))
    examples = tf.data.Dataset.from_tensor_slices((numbers, labels[numbers])).repeat()
    return examples.rejection_resample(
        lambda number, label: label, (share / share.sum()).astype(np.float32),
        (counts / counts.sum()).astype(np.float32), seed=0).map(
            lambda label, example: example[0]).batch(BATCH)


WAYS = {'bsce-tf': sampler, 'sample_from_datasets': sample_from_datasets,
        'rejection_resample': rejection_resample}


def work(settings):
    labels, classes = labels_of(settings['images'], settings['classes']), settings['classes']
    next(iter(tf.data.Dataset.range(8).batch(8)))  # tf.data's own threads
    before, begin = measure.from_here(), time.perf_counter()
    batches = iter(WAYS[settings['name']](labels, classes))
    next(batches)

    def turn():
        begin = time.perf_counter()
        for _ in range(settings['batches']):
            next(batches)
        return (time.perf_counter() - begin) / settings['batches'] / BATCH

    start = time.perf_counter() - begin
    measure.serve(turn, start=start, memory=measure.peak() - before)


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'processes of each way'),
                classes=(50_030, 300, 'K'), images=(2_498_771, 5000, 'N'),
                batches=(100, 5, 'batches of a turn'),
                limit=(15, 15, 'seconds that a peer may take to start'))
