"""How fast training crops are made from JPEG files, against what others do with them.

  python benchmarks/input_pipeline.py            the rates below, on two threads
  python benchmarks/input_pipeline.py --large    first batch and memory with 2.5 M paths

Generates 800 × 800 JPEGs with texture (quality 80 to 95) and makes 331 × 331 crops of them, batches
of 64. In turn: decoding alone (`tf.io.decode_jpeg`, the bound of all who decode whole images); this
project's training pipeline, with bad-file handling, flips and sampling; the usual pipeline (decode,
resize to 436 × 436, random crop, flip); and `keras.utils.image_dataset_from_directory`, which only
resizes. Prints median and range of each and of the ratios of neighbouring runs.
"""

import argparse
import io
import os
import pathlib
import resource
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from bsce_tf.data import pipeline  # noqa: E402
from bsce_tf.data.bad_images import BadImages  # noqa: E402
from bsce_tf.data.examples import Examples  # noqa: E402
from bsce_tf.data.sampler import Sampler  # noqa: E402

SIDE, SIZE, SCALE, BATCH = 800, 331, 436, 64
SCALES = (384, 412, 424, 436, 464)
PATHS, CLASSES = 2_498_771, 50_030  # of AliProducts


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=192, help='files that are generated')
    parser.add_argument('--batches', type=int, default=12, help='batches of a run')
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--large', action='store_true', help='first batch and memory instead')
    parser.add_argument('--steps', type=int, default=10_000, help='steps for --large')
    options = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        if options.large:
            large(pathlib.Path(folder), options.steps)
        else:
            rates(pathlib.Path(folder), options)


def rates(folder, options):
    files = make(folder, options.images)
    ways = {name: limited(dataset, options.threads) for name, dataset in (
        ('decoding alone', decoding(files)), ('bsce-tf', ours(folder, files)),
        ('usual', usual(files)), ('keras', keras_folder(folder)))}
    found = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            found[name].append(rate(way, options.batches))
    found = {name: np.array(values).T for name, values in found.items()}
    print(f'{SIDE} x {SIDE} JPEGs to {SIZE} x {SIZE}, batches of {BATCH}, {options.threads} threads'
          f' of {os.cpu_count()} cores, TensorFlow {tf.__version__}, {options.repeats} repeats in '
          'turn: median [range]')
    for name, values in found.items():
        print(f'{name:16} {spread(values[0], ".0f")} images/s, '
              f'{spread(values[1], ".0f")} in a second of one core')
    for peer in ('decoding alone', 'usual', 'keras'):
        wall, core = found['bsce-tf'] / found[peer]
        print(f'bsce-tf / {peer:16} {spread(wall, ".2f")}, of one core {spread(core, ".2f")}')


def rate(way, batches):
    """Images a second and images a second of one core, from a new iterator's second batch on.

    An old one would fill its buffers in the time of the others.
    """
    iterator = iter(way)
    next(iterator)
    begin, begin_core = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    images = batches * BATCH
    return images / (time.perf_counter() - begin), images / (time.process_time() - begin_core)


def spread(values, form):
    return f'{np.median(values):{form}} [{np.min(values):{form}} to {np.max(values):{form}}]'


def limited(dataset, threads):
    """All ways get the same threads."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


def decoding(files):
    def decode(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)[0, 0]

    mapped = _endless(files).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return mapped.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def ours(folder, files):
    names = np.array([os.path.relpath(path, folder) for path in files], 'S')
    labels = np.array([int(name.split(b'/')[0]) for name in names])
    examples = Examples(labels, range(labels.max() + 1), paths=names, root=str(folder))
    bad = BadImages('skip', max_pixels=10**8)
    return pipeline.training(examples, Sampler(labels, examples.num_classes), batch_size=BATCH,
                             size=SIZE, scales=SCALES, flip=True, bad=bad)


def usual(files):
    def example(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.random_crop(tf.image.resize(image, (SCALE, SCALE)), (SIZE, SIZE, 3))
        return tf.image.random_flip_left_right(image)

    mapped = _endless(files).map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return mapped.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def keras_folder(folder):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=False, verbose=False).repeat()


def _endless(files):
    return tf.data.Dataset.from_tensor_slices(files).repeat()


def make(folder, images):
    """JPEGs of 8 classes, in a folder each: texture at four sizes, every other one as a round
    product on white."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    product = (np.hypot(x, y) < 0.42 * SIDE)[..., None]
    layers = ((5, 60), (25, 25), (100, 12), (400, 8))  # cells a side, strength
    names = []
    for i in range(images):
        picture = np.full((SIDE, SIDE, 3), 128, np.float32)
        for cells, strength in layers:
            noise = rng.normal(0, strength, (cells, cells, 1)) * 0.6 + rng.normal(
                0, strength, (cells, cells, 3)) * 0.4
            for channel in range(3):
                layer = Image.fromarray(noise[..., channel].astype(np.float32))
                picture[..., channel] += np.asarray(layer.resize((SIDE, SIDE), Image.BICUBIC))
        if i % 2:
            picture = np.where(product, picture, 255)
        buffer = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
            buffer, 'JPEG', quality=80 + i % 16)
        path = folder / str(i % 8) / f'{i:05d}.jpg'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(buffer.getvalue())
        names.append(str(path))
    return names


def large(folder, steps):
    """Time to the first batch and growth of memory at the size of AliProducts, on small images."""
    files = make(folder, 16)
    for path in files:  # what is measured is the pipeline's own memory, not the decoder's speed
        Image.open(path).resize((48, 48)).save(path)
    names = np.array([os.path.relpath(path, folder) for path in files], 'S')
    labels = np.random.default_rng(0).integers(0, CLASSES, PATHS).astype(np.int32)
    labels[:CLASSES] = np.arange(CLASSES)
    paths = names[np.arange(PATHS) % len(names)]
    examples = Examples(labels, range(CLASSES), paths=paths, root=str(folder))
    begin = time.perf_counter()
    batches = iter(pipeline.training(
        examples, Sampler(labels, CLASSES, gamma=0.5), batch_size=8, size=32, scales=(36, 40),
        flip=True, bad=BadImages('skip', max_pixels=10**8)))
    next(batches)
    print(f'{PATHS:,} paths, {CLASSES:,} classes: first batch after '
          f'{time.perf_counter() - begin:.1f} s (sampler, tracing and all)')
    for step in range(1, steps + 1):
        next(batches)
        if step % max(steps // 10, 1) == 0:
            print(f'step {step:6}: {resident():.0f} MB')


def resident():
    """Memory of this process in MB."""
    statm = pathlib.Path('/proc/self/statm')
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # the peak


if __name__ == '__main__':
    main()
