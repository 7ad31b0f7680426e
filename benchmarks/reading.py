"""How fast training batches are made where every read takes a while, as on network storage.

  python -m benchmarks.reading

Generates JPEGs of 256 × 256 pixels and makes 224 × 224 crops of them, in batches of 64. In turn:
this project's training pipeline, which measures the storage and chooses its readers itself, and
plain tf.data (read, decode, resize, crop, flip) with as many parallel calls as are needed, and a
private pool of as many threads. `slow_reads.c`, which gcc compiles and which is loaded before the C
library, makes the opening of each file wait 10 or 40 ms, and the reading at a place in a shard.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import tensorflow as tf  # noqa: E402

from benchmarks import input_pipeline, measure  # noqa: E402
from bsce_tf.catalogue import pack  # noqa: E402
from bsce_tf.data import pipeline, sources  # noqa: E402
from bsce_tf.data.bad_images import BadImages  # noqa: E402
from bsce_tf.data.images import augment  # noqa: E402
from bsce_tf.data.sampler import Sampler  # noqa: E402
from bsce_tf.data.view import View  # noqa: E402

SIDE, SIZE, SCALE, BATCH = 256, 224, 240, 64
# Milliseconds of a read, parallel calls of the peer, whether ours reads a pack, aim.
CASES = ((10, 32, False, '≥ 0.9'), (40, 128, False, '≥ 0.9'), (10, 32, True, ''),
         (0, 2, False, '≥ 0.9'))


def rows(options):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        slow = compiled(folder)
        (folder / 'files').mkdir()
        input_pipeline.make(folder / 'files', options.images, SIDE)
        examples = sources.load('folder', root=str(folder / 'files'), cache='off').train
        pack.pack(examples, folder / 'packed' / 'train', 256, progress=False)
        for delay, calls, packed, aim in CASES:
            variables = {'LD_PRELOAD': str(slow), 'SLOW_READS_MS': str(delay),
                         'SLOW_READS_FOLDER': str(folder)}
            settings = {'root': str(folder / 'files'), 'batches': options.batches}
            with (measure.Worker(sys.executable, __file__, settings | (
                    {'root': str(folder / 'packed'), 'kind': 'packed'} if packed
                    else {'kind': 'files'}), **variables) as ours,
                  measure.Worker(sys.executable, __file__, settings | {
                      'kind': 'plain', 'calls': calls}, **variables) as plain):
                found = measure.alternate({'ours': lambda way=ours: way.turn()[0],
                                           'plain': lambda way=plain: way.turn()[0]},
                                          options.repeats)
                readers = ours.facts['readers']
            yield measure.row(
                f'{SIDE} px JPEGs to {SIZE} px crops, {delay} ms a read'
                f'{", packed" * packed}', f'tf.data on the files, {calls} calls, a pool of {calls}',
                found['ours'], found['plain'], aim, 's/image', f'{readers} readers, as measured')


def compiled(folder):
    """The library that makes reads wait."""
    library = folder / 'slow_reads.so'
    subprocess.run(['gcc', '-O2', '-shared', '-fPIC', '-o', library,
                    pathlib.Path(__file__).with_name('slow_reads.c'), '-ldl'], check=True)
    return library


def work(settings):
    if settings['kind'] == 'plain':
        dataset, readers = plain(settings), settings['calls']
    else:
        dataset, readers = ours(settings)
    measure.serve(lambda: input_pipeline.cost(dataset, settings['batches']), readers=readers)


def ours(settings):
    kind = 'packed' if settings['kind'] == 'packed' else 'folder'
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for `measure.Worker`
        examples = sources.load(kind, root=settings['root'], cache='off').train
    dataset = pipeline.training(
        examples, Sampler(examples.labels, examples.num_classes),
        View(SIZE, (SCALE,), 'multi_scale'), batch_size=BATCH, bad=BadImages('skip'),
        augmentation=augment.Augmentation(flip=True))
    return dataset, examples.storage.readers


def plain(settings):
    files = sorted(map(str, pathlib.Path(settings['root']).rglob('*.jpg')))

    def example(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.random_crop(tf.image.resize(image, (SCALE, SCALE)), (SIZE, SIZE, 3))
        return tf.cast(tf.image.random_flip_left_right(image), tf.uint8)

    options = tf.data.Options()
    options.threading.private_threadpool_size = settings['calls']
    paths = tf.data.Dataset.from_tensor_slices(files).repeat().shuffle(len(files))
    return paths.map(example, num_parallel_calls=settings['calls'], deterministic=True).batch(
        BATCH).prefetch(tf.data.AUTOTUNE).with_options(options)


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'turns of each way'),
                images=(512, 64, 'files that are generated'), batches=(30, 2, 'batches of a turn'))
