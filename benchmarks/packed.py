"""How fast packed images are read, against the same images as files.

  python benchmarks/packed.py

Writes random JPEG-sized files and packs them; then reads all of them in the same shuffled order
through tf.data, in batches, in turn from the files (`tf.io.read_file` in a parallel map: the peer)
and from the pack. Nothing is decoded. Prints median and range of both, and the median of the ratios
of neighbouring runs. Both are in the system's file cache, the best case for files: on network
storage every file costs a round trip of its own, which a shard pays once.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from bsce_tf.data import pack, sources  # noqa: E402
from bsce_tf.data.examples import Examples  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=4000)
    parser.add_argument('--kilobytes', type=int, default=60, help='mean size of an image')
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--repeats', type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        examples = make(pathlib.Path(folder), options.images, options.kilobytes)
        pack.pack(examples, pathlib.Path(folder, 'packed', 'train'), 1024, progress=False)
        packed = sources.load('packed', root=os.path.join(folder, 'packed')).train
        order = np.random.default_rng(1).permutation(options.images)
        ways = {'files': from_files(examples, order, options.batch),
                'packed': from_pack(packed, order, options.batch)}
        rates = {name: [] for name in ways}
        sizes = {name: read(dataset)[1] for name, dataset in ways.items()}  # warms up
        assert sizes['files'] == sizes['packed'], sizes
        for _ in range(options.repeats):
            for name, dataset in ways.items():
                rates[name].append(options.images / read(dataset)[0])
    print(f'{options.images} images of {options.kilobytes} kB, batches of {options.batch}, '
          f'{os.cpu_count()} cores, {options.repeats} repeats in turn: median [range]')
    for name, found in rates.items():
        print(f'{name:8} {statistics.median(found):8.0f} images/s '
              f'[{min(found):.0f} to {max(found):.0f}]')
    ratios = [ours / peer for ours, peer in zip(rates['packed'], rates['files'], strict=True)]
    print(f'packed / files: {statistics.median(ratios):.2f} [{min(ratios):.2f} to '
          f'{max(ratios):.2f}]')


def make(folder, images, kilobytes):
    """Files of random bytes, in 50 folders, of sizes from half to one and a half of the mean."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(images):
        path = pathlib.Path('files', str(i % 50), f'{i}.jpg')
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(rng.bytes(int(kilobytes * 1000 * rng.uniform(0.5, 1.5))))
        paths.append(str(path))
    return Examples(np.arange(images) % 50, tuple(map(str, range(50))),
                    paths=np.array(paths, 'S'), root=str(folder))


def from_files(examples, order, batch):
    paths = [os.path.join(examples.root, examples.name(i)) for i in order]
    return (tf.data.Dataset.from_tensor_slices(paths)
            .map(tf.io.read_file, num_parallel_calls=tf.data.AUTOTUNE).batch(batch)
            .prefetch(tf.data.AUTOTUNE))


def from_pack(examples, order, batch):
    def images(numbers):
        return tf.numpy_function(
            lambda wanted: np.array(examples.records.read(wanted), object), [numbers], tf.string)

    return (tf.data.Dataset.from_tensor_slices(order).batch(batch)
            .map(images, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE))


def read(dataset):
    """(seconds, bytes) of reading a data set once."""
    start = time.perf_counter()
    total = 0
    for images in dataset:
        total += int(tf.reduce_sum(tf.strings.length(images)))
    return time.perf_counter() - start, total


if __name__ == '__main__':
    main()
