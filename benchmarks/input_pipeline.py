"""How fast training crops are made from JPEG files, against what others do with them.

  python -m benchmarks.input_pipeline                   the rates below, on two threads
  python -m benchmarks.input_pipeline --large 10000     first batch and memory with 2.5 M paths

Generates 800 × 800 JPEGs with texture (quality 80 to 95) and makes 331 × 331 crops of them, batches
of 64. In turn: decoding alone (`tf.io.decode_jpeg`, the bound of all who decode whole images); this
project's training pipeline, with bad-file handling, flips and sampling; the usual pipeline (decode,
resize to 436 × 436, random crop, flip), both also with RandAugment, there of tf-models-official;
`keras.utils.image_dataset_from_directory`, which only resizes; and timm's random resized crops and
flips in two workers of PyTorch's DataLoader. From a new iterator's second batch on: an old one
would fill its buffers in the time of the others.
"""

import functools
import io
import os
import pathlib
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from official.vision.ops import augment as official  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf.data import pipeline  # noqa: E402
from bsce_tf.data.bad_images import BadImages  # noqa: E402
from bsce_tf.data.examples import Examples  # noqa: E402
from bsce_tf.data.images import augment
from bsce_tf.data.sampler import Sampler  # noqa: E402
from bsce_tf.data.view import View  # noqa: E402

SIDE, SIZE, SCALE, BATCH = 800, 331, 436, 64
SCALES = (384, 412, 424, 436, 464)
PATHS, CLASSES = 2_498_771, 50_030  # of AliProducts

# Way of ours, way of theirs, what theirs is, aim.
PAIRS = (('ours', 'decoding', 'tf.io.decode_jpeg alone', '≥ 0.75'),
         ('ours', 'usual', 'decode, resize, crop, flip', '≥ 1.5'),
         ('ours, RandAugment', 'usual, RandAugment',
          'decode, resize, crop, flip, RandAugment of tf-models-official', '≥ 1.5'),
         ('ours', 'keras', 'image_dataset_from_directory', '≥ 1.0'),
         ('ours', 'torch', "timm's transforms in PyTorch's DataLoader", '≥ 2'))


def rows(options):
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        if options.large:
            large(pathlib.Path(folder), options.large)
        else:
            yield from rates(pathlib.Path(folder), options)


def rates(folder, options):
    files = make(folder, options.images)
    datasets = {'ours': ours(folder, files), 'decoding': decoding(files), 'usual': usual(files),
                'ours, RandAugment': ours(folder, files, policy='randaugment'),
                'usual, RandAugment': usual(files, official.RandAugment(2, 9.0).distort),
                'keras': keras_folder(folder)}
    ways = {name: functools.partial(cost, limited(dataset, options.threads), options.batches)
            for name, dataset in datasets.items()}
    settings = {'kind': 'loader', 'folder': str(folder), 'size': SIZE, 'batch': BATCH,
                'batches': options.batches, 'threads': options.threads}
    peers = str(pathlib.Path(__file__).with_name('torch_peers.py'))
    with measure.Worker(options.peer_python, peers, settings) as worker:
        ways['torch'] = lambda: worker.turn()[0]
        found = measure.alternate(ways, options.repeats)
    for mine, other, peer, aim in PAIRS:
        yield measure.row(f'{SIDE} px JPEGs to {SIZE} px crops, {options.threads} threads'
                          f'{mine.removeprefix("ours")}', peer, found[mine], found[other], aim,
                          's/image')


def cost(way, batches):
    """Seconds an image."""
    iterator = iter(way)
    next(iterator)
    begin = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - begin) / batches / BATCH


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


def ours(folder, files, policy='none'):
    names = np.array([os.path.relpath(path, folder) for path in files], 'S')
    labels = np.array([int(name.split(b'/')[0]) for name in names])
    examples = Examples(labels, range(labels.max() + 1), paths=names, root=str(folder))
    bad = BadImages('skip', max_pixels=10**8)
    return pipeline.training(examples, Sampler(labels, examples.num_classes),
                             View(SIZE, SCALES, 'multi_scale'), batch_size=BATCH, bad=bad,
                             augmentation=augment.Augmentation(flip=True, policy=policy))


def usual(files, change=lambda image: image):
    def example(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.random_crop(tf.image.resize(image, (SCALE, SCALE)), (SIZE, SIZE, 3))
        return change(tf.cast(tf.image.random_flip_left_right(image), tf.uint8))

    mapped = _endless(files).map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return mapped.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def keras_folder(folder):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=False, verbose=False).repeat()


def _endless(files):
    return tf.data.Dataset.from_tensor_slices(files).repeat()


def make(folder, images, side=SIDE):
    """JPEGs of 8 classes, in a folder each: texture at four sizes, every other one as a round
    product on white."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    product = (np.hypot(x, y) < 0.42 * side)[..., None]
    layers = ((5, 60), (25, 25), (100, 12), (400, 8))  # cells a side, strength
    names = []
    for i in range(images):
        picture = np.full((side, side, 3), 128, np.float32)
        for cells, strength in layers:
            noise = rng.normal(0, strength, (cells, cells, 1)) * 0.6 + rng.normal(
                0, strength, (cells, cells, 3)) * 0.4
            for channel in range(3):
                layer = Image.fromarray(noise[..., channel].astype(np.float32))
                picture[..., channel] += np.asarray(layer.resize((side, side), Image.BICUBIC))
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
        examples, Sampler(labels, CLASSES, gamma=0.5), View(32, (36, 40), 'multi_scale'),
        batch_size=8, augmentation=augment.Augmentation(flip=True),
        bad=BadImages('skip', max_pixels=10**8)))
    next(batches)
    print(f'{PATHS:,} paths, {CLASSES:,} classes: first batch after '
          f'{time.perf_counter() - begin:.1f} s (sampler, tracing and all)')
    for step in range(1, steps + 1):
        next(batches)
        if step % max(steps // 10, 1) == 0:
            print(f'step {step:6}: {measure.resident():.0f} MB')


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'turns of each way'),
                images=(192, 64, 'files that are generated'), batches=(12, 1, 'batches of a turn'),
                threads=(2, 2, 'of each way'),
                large=(0, 0, 'steps with 2.5 M paths: first batch and memory instead'))
