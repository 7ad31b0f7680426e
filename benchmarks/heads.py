"""What a step costs in the head alone, from 50,000 to a million classes.

  python -m benchmarks.heads
  python -m benchmarks.heads --classes 1000000 --batch 64

Features to `bsce_many`, its gradients, and SGD with momentum: of a whole head, of one that computes
a tenth of the other classes (`model.head_sample=0.1`), and of one in two parts
(`model.head_parts=replicas`; both replicas share these cores, so that memory tells more than time).
Each in a process of its own. Memory is what a process has at its peak, less what it had before the
head was made.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import sys  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf import losses  # noqa: E402
from bsce_tf.heads import class_variable, divided, sample  # noqa: E402
from bsce_tf.models import heads  # noqa: E402
from bsce_tf.training import optimizers, strategy  # noqa: E402

SHARE = 0.1
WAYS = {'whole': {}, 'sampled': {'share': SHARE}, 'split': {'replicas': 2}}


def rows(options):
    """Time and memory of each way, with a size at a time; then the sample's growth."""
    sampled = {}
    for classes in map(int, options.classes):
        seconds, memory = {}, {}
        for name, way in WAYS.items():
            settings = {'classes': classes, 'width': options.width, 'batch': options.batch, **way}
            with measure.Worker(sys.executable, __file__, settings) as worker:
                begun = worker.facts['before']
                worker.turn()  # traces
                turns = [worker.turn() for _ in range(options.repeats)]
            seconds[name] = [second for second, _ in turns]
            memory[name] = [peak - begun for _, peak in turns]
        what = f'head {options.width} × {classes:,}, batch {options.batch}'
        for name, text in ('sampled', f'a sample of {SHARE:g}'), ('split', 'in 2 parts'):
            yield measure.row(f'{what}: a step, {text}', 'the whole head', seconds[name],
                              seconds['whole'])
            yield measure.row(f'{what}: memory, {text}', 'the whole head', memory[name],
                              memory['whole'], unit='MB', inverse=True)
        computed = sample.count(classes, SHARE)
        sampled[classes] = np.array(seconds['sampled']) / computed
    if len(sampled) > 1:
        few, many = min(sampled), max(sampled)
        yield measure.row(f'a sampled step for each class that it computes, K = {many:,}',
                          f'K = {few:,}', sampled[many], sampled[few], '≤ 2.0')


def work(settings):
    """Serves steps of one way, see `WAYS`."""
    replicas = settings.get('replicas', 1)
    devices = strategy.create('mirrored', replicas) if replicas > 1 else strategy.create('one')
    tf.constant(0.0)  # what TensorFlow itself takes
    before = measure.from_here()
    with devices.scope():
        step = _whole(settings) if len(settings) == 3 else _parted(settings, devices)
    measure.serve(step, before=before)


def _loss(classes):
    rng = np.random.default_rng(0)
    return losses.make('bsce_many', rng.integers(5, 8000, classes))


def _batch(settings):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(settings['batch'], settings['width'])).astype('float32')
    return features, rng.integers(0, settings['classes'], settings['batch']).astype('int32')


def _model(settings, division=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((settings['width'],))
    return keras.Model(inputs, heads.head('linear', settings['classes'], division=division)(inputs))


def _whole(settings):
    model, loss, optimizer = _model(settings), _loss(settings['classes']), optimizers.SGD(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    features, labels = _batch(settings)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss.call(labels, model(features, training=True)))
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        return value

    return lambda: _finite(step())


def _parted(settings, devices):
    model = _model(settings, class_variable.Division(settings['classes']))
    optimizer = optimizers.SGD(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    head = divided.DividedHead(model, _loss(settings['classes']), settings.get('share', 1.0), 5,
                         optimizer)
    data = tf.data.Dataset.from_tensor_slices(_batch(settings)).batch(settings['batch'])
    batch = next(iter(strategy.distribute(devices, lambda _: data)))

    def of_replica(number, features, labels):
        with tf.GradientTape() as tape:
            found, _, rows, chosen = head.train(features, labels, number, tape)
            value = tf.reduce_sum(found) / settings['batch']
        head.update([], tape.gradient(value, rows), chosen)
        return value

    @tf.function(autograph=False)
    def step(number):
        return devices.reduce('SUM', devices.run(of_replica, (number, *batch)), axis=None)

    numbers = iter(range(sys.maxsize))
    return lambda: _finite(step(tf.constant(next(numbers), tf.int64)))


def _finite(value):
    """Waits for it."""
    if not np.isfinite(value.numpy()):
        raise ValueError(f'the loss is {value.numpy()}')


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'steps of each way'),
                lists={'classes': (['50000', '200000', '1000000'], ['500', '1000'], 'K')},
                width=(512, 16, 'features'), batch=(256, 16, 'images'))
