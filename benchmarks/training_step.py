"""What a training step costs here, against other loops.

  python -m benchmarks.training_step

BSCE with class weights and mean top-1 error against Keras's `fit` with sparse CE and accuracy, on
the same network and batch; ResNet-50 against timm's on PyTorch; a checkpoint against
`tf.train.Checkpoint`. Float32, with oneDNN as `main.py` sets it.
`--replicas 2` adds two replicas on the same cores against one; `--head 64` prints what head, loss,
metric and optimizer take at 50,030 classes on features of PNASNet, at that batch.
"""

import os
import pathlib
import sys
import tempfile
import types

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf import class_weights, losses, metrics  # noqa: E402
from bsce_tf.data import loading  # noqa: E402
from bsce_tf.data.view import View  # noqa: E402
from bsce_tf.models import classifier, heads  # noqa: E402
from bsce_tf.training import checkpoint, optimizers, strategy  # noqa: E402
from bsce_tf.training.state import State  # noqa: E402
from bsce_tf.training.trainer import Trainer  # noqa: E402

NETWORK = 'small_resnet'
FEATURES, CLASSES = 4320, 50_030  # of PNASNet-5-Large, of AliProducts


def rows(options):
    devices = None
    if options.replicas > 1:  # divides the CPU before anything runs
        devices = strategy.create('mirrored', options.replicas)
    if options.head:
        head(options.head)
        return
    yield from steps(options, devices)
    yield saving(options)
    yield against_timm(options)


def steps(options, devices):
    data = batches(options)
    one = tf.distribute.OneDeviceStrategy('CPU:0')
    ways = {'fit': fit(options, data), 'ours': ours(options, data, one)}
    if devices:
        ways['replicas'] = ours(options, data, devices)
    found = {name: np.array(cost) / options.steps
             for name, cost in measure.alternate(ways, options.repeats).items()}
    what = f'a step of {NETWORK}, {options.size} px, batch {options.batch}, K = 1,000'
    yield measure.row(f'{what}: BSCE, class weights, mean top-1 error',
                      'fit with sparse CE and accuracy', found['ours'], found['fit'], '≤ 1.02')
    if devices:
        yield measure.row(f'{what}: {options.replicas} replicas', 'one', found['replicas'],
                          found['ours'])


def against_timm(options):
    """A step of ResNet-50; both in processes of their own, timm's with CE and without metric."""
    size, batch = options.large, options.large_batch
    peers = str(pathlib.Path(__file__).with_name('torch_peers.py'))
    with measure.Worker(sys.executable, __file__, {'size': size, 'batch': batch}) as mine, \
            measure.Worker(options.peer_python, peers, {
                'kind': 'network', 'name': 'resnet50', 'size': size, 'batch': batch,
                'train': True}) as theirs:
        found = measure.alternate({'ours': lambda: mine.turn()[0] / batch,
                                   'timm': lambda: theirs.turn()[0] / batch}, options.repeats)
    return measure.row(f'training steps of ResNet-50, {size} px, batch {batch}', 'timm',
                       found['ours'], found['timm'], '≥ 1.0', 's/image')


def work(settings):
    options = types.SimpleNamespace(backbone='resnet50', steps=1, **settings)
    turn = ours(options, batches(options), tf.distribute.OneDeviceStrategy('CPU:0'))
    turn()
    turn()
    measure.serve(turn)


def batches(options):
    """The same images and labels for ever."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (options.batch, options.size, options.size, 3), np.uint8)
    labels = rng.integers(0, 1000, options.batch).astype('int32')
    return loading.finished(tf.data.Dataset.from_tensors((images, labels)).repeat())


def build(options):
    keras.utils.set_random_seed(0)
    return classifier.build(getattr(options, 'backbone', NETWORK), 1000, image_size=options.size)


def fit(options, data):
    model = build(options)
    model.compile(keras.optimizers.SGD(0.01, 0.9),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=['accuracy'], jit_compile=False)
    return lambda: model.fit(data, steps_per_epoch=options.steps, verbose=0)


def ours(options, data, devices):
    with devices.scope():
        made = trainer_of(options)
        batches = strategy.distribute(devices, lambda shard: data)

        def turn():
            with devices.scope():
                made.reset()
                iterator = iter(batches)
                for number in range(options.steps):
                    made.train_step(next(iterator), number)
                made.results()

        return turn


def trainer_of(options):
    model = build(options)
    classifier.synchronise_batch_norm(model)
    counts = np.random.default_rng(0).integers(5, 8000, 1000)
    view = View(options.size, (options.size,))
    return Trainer(model, view, optimizers.make(model, optimizers.Settings('sgd')),
                   losses.by_name('bsce', class_weights.balanced(counts)),
                   options.batch)


def saving(options):
    with tf.distribute.OneDeviceStrategy('CPU:0').scope():
        made = trainer_of(options)
    tracked = tf.train.Checkpoint(variables=[getattr(v, 'value', v) for v in made.variables])
    with tempfile.TemporaryDirectory() as folder:
        def save():
            checkpoint.save(pathlib.Path(folder, 'ours'), State(total=1),
                            [v.numpy() for v in made.variables])

        found = measure.alternate(
            {'ours': save, 'keras': lambda: tracked.write(os.path.join(folder, 'theirs'))},
            options.repeats)
    return measure.row(f'a checkpoint of {NETWORK}, checksummed and synced to disk',
                       'tf.train.Checkpoint, neither', found['ours'], found['keras'])


def head(batch, count=5):
    """Prints time and memory of head, loss, metric and SGD with momentum at the paper's size."""
    before = measure.peak()
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

    seconds = measure.alternate({'step': step}, count)['step']
    print(f'head {FEATURES} × {CLASSES}, batch {batch}: {np.median(seconds):.2f} s a step '
          f'[{min(seconds):.2f} to {max(seconds):.2f}], peak {measure.peak() / 1e3:.1f} GB, '
          f'{before / 1e3:.1f} GB of it before')


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(7, 5, 'turns of each way'),
                size=(28, 28, 'pixels'), batch=(64, 16, 'images'),
                steps=(50, 3, 'steps of a turn'), large=(160, 64, 'pixels of ResNet-50'),
                large_batch=(16, 2, 'images of ResNet-50'), replicas=(1, 1, 'on the same cores'),
                head=(0, 0, 'batch; only the large head'))
