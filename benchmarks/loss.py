"""What the loss costs at AliProducts' 50,030 classes, forward and backward from the logits.

  python -m benchmarks.loss

Against Keras's sparse cross-entropy; against the symmetric cross-entropy as it was published
(softmax, clipped probabilities, one-hot labels clipped at 1e-4, two sums over the classes; Wang et
al. 2019) with class weights as sample weights; and against copying the logits once. Memory is what
a process takes more at its peak than before the first full batch.
"""

import os
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf import class_weights, losses  # noqa: E402

KERAS, PUBLISHED = 'SparseCategoricalCrossentropy(from_logits=True)', 'the published SCE form'


def rows(options):
    labels, logits, weights = data(options.classes, options.batch)
    made = {name: step(name, weights) for name in LOSSES}
    compiled = step('bsce', weights, jit_compile=True)
    target = np.empty_like(logits)
    ways = {name: calls(way, labels, logits, options.steps) for name, way in made.items()}
    ways['compiled'] = calls(compiled, labels, logits, options.steps)
    ways['copy'] = lambda: [np.copyto(target, logits) for _ in range(options.steps)]
    found = {name: np.array(cost) / options.steps
             for name, cost in measure.alternate(ways, options.repeats).items()}
    what = f'BSCE with class weights and its gradient, K = {options.classes:,}, {options.batch}'
    yield measure.row(f'{what} images', KERAS, found['bsce'], found['keras'], '≤ 1.0')
    yield measure.row(f'{what} images', PUBLISHED, found['bsce'], found['published'], '≤ 0.40')
    yield measure.row(f'{what} images', 'copying the logits in NumPy, one core', found['bsce'],
                      found['copy'])
    yield measure.row(f'{what} images, XLA', 'the same without XLA', found['compiled'],
                      found['bsce'])
    other = what.replace('BSCE with class weights', 'bsce_many')
    yield measure.row(f'{other} images', KERAS, found['many'], found['keras'])
    memory = {name: lambda name=name: memory_of(name, options) for name in LOSSES}
    found = measure.alternate(memory, options.repeats, warm=0)
    for peer, name, aim in ((KERAS, 'keras', '≤ 1.05'), (PUBLISHED, 'published', '≤ 0.35')):
        yield measure.row(f'{what} images: peak memory', peer, found['bsce'], found[name], aim,
                          'MB')
    copy = [logits.nbytes / 1e6] * options.repeats
    yield measure.row(f'{other} images: peak memory', 'one copy of the logits', found['many'], copy,
                      '≤ 1.1', 'MB')


def data(classes, batch):
    rng = np.random.default_rng(0)
    weights = class_weights.balanced(rng.integers(5, 8000, classes))
    return (rng.integers(0, classes, batch).astype('int32'),
            rng.standard_normal((batch, classes), 'float32'), weights)


def ours(weights):
    loss = losses.by_name('bsce', weights)
    return lambda labels, logits: tf.reduce_mean(loss.call(labels, logits))


def many(weights):
    loss = losses.by_name('bsce_many', prior=1 / weights)
    return lambda labels, logits: tf.reduce_mean(loss.call(labels, logits))


def keras_s(weights):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def published(weights, alpha=0.4, beta=0.7):
    """Symmetric cross-entropy term by term, each example weighted by the weight of its class."""
    def loss(labels, logits):
        p = tf.nn.softmax(logits)
        q = tf.one_hot(labels, logits.shape[-1])
        ce = -tf.reduce_sum(q * tf.math.log(tf.clip_by_value(p, 1e-7, 1.0)), -1)
        rce = -tf.reduce_sum(p * tf.math.log(tf.clip_by_value(q, 1e-4, 1.0)), -1)
        return tf.reduce_mean(tf.gather(weights, labels) * (alpha * ce + beta * rce))

    return loss


LOSSES = {'bsce': ours, 'many': many, 'keras': keras_s, 'published': published}


def step(name, weights, jit_compile=False):
    """Function of labels and logits that gives the loss and its gradient."""
    loss = LOSSES[name](tf.constant(weights, tf.float32) if name == 'published' else weights)
    classes = len(weights)

    @tf.function(autograph=False, jit_compile=jit_compile, input_signature=[
        tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, classes], tf.float32)])
    def both(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(labels, logits)
        return value, tape.gradient(value, logits)

    return both


def calls(way, labels, logits, steps):
    """Function that runs the way so many times; the logits are tensors before."""
    labels, logits = tf.constant(labels), tf.constant(logits)

    def turn():
        for _ in range(steps):
            value, _ = way(labels, logits)
        value.numpy()

    return turn


def memory_of(name, options):
    """Peak memory above that before, in MB, of a fresh process."""
    settings = {'name': name, 'classes': options.classes, 'batch': options.batch}
    with measure.Worker(sys.executable, __file__, settings) as worker:
        return worker.turn()[0]


def work(settings):
    labels, logits, weights = data(settings['classes'], settings['batch'])
    way = step(settings['name'], weights)
    labels, logits = tf.constant(labels), tf.constant(logits)
    way(labels[:1], logits[:1])  # what threads and kernels take is not the loss's

    def turn():
        before = measure.from_here()
        for _ in range(3):
            way(labels, logits)
        return measure.peak() - before

    measure.serve(turn)


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(9, 5, 'turns of each way'),
                classes=(50_030, 3000, 'K'), batch=(128, 16, 'images'),
                steps=(10, 2, 'steps of a turn'))
