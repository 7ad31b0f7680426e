"""How fast packed images are read, and how much faster training batches are made of shrunk ones.

  python -m benchmarks.packed

Writes random JPEG-sized files and packs them; then reads all of them in the same shuffled order
through tf.data, in batches, in turn from the files (`tf.io.read_file` in a parallel map: the peer)
and from the pack. Nothing is decoded. Both are in the system's file cache, the best case for files:
on network storage every file costs a round trip of its own, which a shard pays once.

Then JPEGs of 800 × 800 pixels are packed unchanged (the peer) and with `pack.side` = 480. The
training pipeline makes 331 × 331 crops of both at the paper's scales, in batches of 64.
"""

import functools
import os
import pathlib
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import input_pipeline, measure  # noqa: E402
from benchmarks.input_pipeline import BATCH  # noqa: E402
from bsce_tf.catalogue import pack  # noqa: E402
from bsce_tf.data import pipeline, sources  # noqa: E402
from bsce_tf.data.examples import Examples  # noqa: E402
from bsce_tf.data.images import augment  # noqa: E402
from bsce_tf.data.sampler import Sampler  # noqa: E402
from bsce_tf.data.view import View  # noqa: E402

SIDE = 480


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        examples = make(pathlib.Path(folder), options.images, options.kilobytes)
        pack.pack(examples, pathlib.Path(folder, 'packed', 'train'), 1024, progress=False)
        packed = sources.load('packed', root=os.path.join(folder, 'packed')).train
        order = np.random.default_rng(1).permutation(options.images)
        datasets = {'files': from_files(examples, order, options.batch),
                    'packed': from_pack(packed, order, options.batch)}
        sizes = {name: read(dataset)[1] for name, dataset in datasets.items()}  # warms up
        if sizes['files'] != sizes['packed']:
            raise RuntimeError(f'not the same bytes: {sizes}')
        found = measure.alternate({name: lambda way=way: read(way)[0] / options.images
                                   for name, way in datasets.items()}, options.repeats, warm=0)
    yield measure.row(f'{options.images} images of {options.kilobytes} kB in random order, packed',
                      'the same as files, in the file cache', found['packed'], found['files'],
                      unit='s/image')
    yield from shrunk(options)


def shrunk(options):
    """The row on `pack.side`."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / 'files').mkdir()
        input_pipeline.make(place / 'files', options.jpegs)
        files = sources.load('folder', root=str(place / 'files'), cache='off').train
        datasets, sizes = {}, {}
        for side in (0, SIDE):
            told = pack.pack(files, place / str(side) / 'train', progress=False, side=side)
            sizes[side] = told['bytes'] / told['packed'] / 1000
            packed = sources.load('packed', root=str(place / str(side))).train
            datasets[side] = pipeline.training(
                packed, Sampler(packed.labels, packed.num_classes),
                View(input_pipeline.SIZE, input_pipeline.SCALES, 'multi_scale'), batch_size=BATCH,
                augmentation=augment.Augmentation(flip=True))
        found = measure.alternate(
            {side: functools.partial(input_pipeline.cost, dataset, options.batches)
             for side, dataset in datasets.items()}, options.repeats)
    yield measure.row(f'training crops of {input_pipeline.SIDE} px JPEGs, packed with pack.side = '
                      f'{SIDE}', 'the same packed unchanged', found[SIDE], found[0], '≥ 2',
                      's/image', f'{sizes[SIDE]:.0f} kB instead of {sizes[0]:.0f} kB an image')


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
    measure.run(__doc__, rows, jpegs=(192, 64, '800 px JPEGs that are generated'),
                batches=(8, 1, 'batches of a turn of the training pipeline'),
                repeats=(9, 5, 'turns of each way'),
                images=(4000, 200, 'files that are generated'),
                kilobytes=(60, 60, 'mean size of an image'), batch=(64, 64, 'images'))
