"""What a training step costs here, against Keras's `fit` with its own loss and metric.

  python benchmarks/training_step.py              BSCE with class weights and mean top-1 error
                                                  against sparse CE and accuracy; checkpoints;
                                                  two replicas against one
  python benchmarks/training_step.py --head       a head of 50,030 classes on features of PNASNet

Same network, same batch, float32, on this machine's cores; the ways take turns, and the ratio of a
turn is of neighbouring measurements. Prints medians and ranges.
"""

import argparse
import os
import pathlib
import resource
import statistics
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from bsce_tf import class_weights, losses, metrics  # noqa: E402
from bsce_tf.models import classifier, heads  # noqa: E402
from bsce_tf.training import checkpoint, optimizers, strategy  # noqa: E402
from bsce_tf.training.state import State  # noqa: E402
from bsce_tf.training.steps import Steps  # noqa: E402

FEATURES, CLASSES = 4320, 50_030  # of PNASNet-5-Large, of AliProducts


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--head', action='store_true', help='only the large head')
    parser.add_argument('--backbone', default='small_resnet')
    parser.add_argument('--size', type=int, default=28)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--steps', type=int, default=100, help='steps of a turn')
    parser.add_argument('--repeats', type=int, default=9)
    options = parser.parse_args()
    devices = strategy.create('mirrored', 2)  # divides the CPU before anything runs
    if options.head:
        head()
    else:
        steps(options, devices)


def steps(options, two):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (options.batch, options.size, options.size, 3), np.uint8)
    labels = rng.integers(0, options.classes, options.batch).astype('int32')
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    one = tf.distribute.OneDeviceStrategy('CPU:0')
    ways = {'keras fit': fit(options, data), 'bsce-tf': ours(options, data, one),
            'bsce-tf, 2 replicas': ours(options, data, two)}
    found = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(options.repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            found[name].append((time.perf_counter() - begin) / options.steps)
    print(f'{options.backbone}, {options.size} px, batch {options.batch}, {options.classes} '
          f'classes, {os.cpu_count()} cores, TensorFlow {tf.__version__}, {options.repeats} turns '
          f'of {options.steps} steps: median [range]')
    for name, seconds in found.items():
        print(f'{name:20} {spread([1000 * s for s in seconds], ".2f")} ms a step')
    for ours_, peer in (('bsce-tf', 'keras fit'), ('bsce-tf, 2 replicas', 'bsce-tf')):
        ratios = [a / b for a, b in zip(found[ours_], found[peer], strict=True)]
        print(f'{ours_} / {peer}: {spread(ratios, ".3f")}')
    seconds = saving(options)
    print(f'a checkpoint: {1000 * seconds:.0f} ms, {100 * seconds / 600:.3f} % of the default '
          'interval of 10 minutes')


def build(options):
    keras.utils.set_random_seed(0)
    return classifier.build(options.backbone, options.classes, image_size=options.size)


def fit(options, data):
    model = build(options)
    model.compile(keras.optimizers.SGD(0.01, 0.9),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=['accuracy'], jit_compile=False)
    return lambda: model.fit(data, steps_per_epoch=options.steps, verbose=0)


def ours(options, data, devices):
    with devices.scope():
        made = steps_of(options)
        batches = strategy.distribute(devices, lambda shard: data)

        def turn():
            with devices.scope():
                made.reset()
                iterator = iter(batches)
                for number in range(options.steps):
                    made.train(next(iterator), number)
                made.results()

        return turn


def steps_of(options):
    model = build(options)
    classifier.synchronise_batch_norm(model)
    counts = np.random.default_rng(0).integers(5, 8000, options.classes)
    return Steps(model, optimizers.make(model, 'sgd'),
                 losses.by_name('bsce', class_weights.balanced(counts)), options.classes,
                 options.batch)


def saving(options):
    """Seconds of writing a checkpoint; the median of five."""
    with tf.distribute.OneDeviceStrategy('CPU:0').scope():
        made = steps_of(options)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for total in range(5):
            begin = time.perf_counter()
            checkpoint.save(pathlib.Path(folder), State(total=total),
                            [v.numpy() for v in made.variables])
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def head(batch=64, count=5):
    """Time and memory of head, loss, metric and SGD with momentum at the paper's size."""
    before = peak()
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, heads.head('linear', CLASSES)(inputs))
    counts = np.random.default_rng(0).integers(5, 8000, CLASSES)
    rng = np.random.default_rng(1)
    features = rng.normal(size=(batch, FEATURES)).astype('float32')
    labels = rng.integers(0, CLASSES, batch).astype('int32')
    optimizer = optimizers.SGD(0.01, 0.9)
    loss, metric = losses.by_name('bsce', class_weights.balanced(counts)), metrics.MeanTop1Error(
        CLASSES)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            logits = model(features, training=True)
            value = tf.reduce_mean(loss.call(labels, logits))
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        metric.update_state(labels, logits)
        return value

    step()
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    print(f'head {FEATURES} × {CLASSES}, batch {batch}: {spread(seconds, ".2f")} s a step, '
          f'peak {peak():.1f} GB, {before:.1f} GB of it before')


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def spread(values, form):
    return f'{statistics.median(values):{form}} [{min(values):{form}} to {max(values):{form}}]'


if __name__ == '__main__':
    main()
