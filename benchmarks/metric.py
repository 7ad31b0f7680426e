"""What mean top-1 error costs at AliProducts' size: 50,030 classes, 148,000 test images.

  python -m benchmarks.metric

From class ids of predictions: scikit-learn's macro recall on the whole set, and its balanced
accuracy and torchmetrics' MulticlassRecall, which count K × K pairs, at a smaller K. Ours is what
the evaluation counts with. All get the whole set at once. And `MeanTop1Error` from the logits,
against Keras's accuracy. Each repeat is a process of its own; memory is what it takes more at its
peak than before.
"""

import os
import pathlib
import sys
import tempfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402

from benchmarks import measure  # noqa: E402

LIMIT = 8192  # MB that torchmetrics may use


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        for classes, peer in ((options.classes, 'scikit-learn recall_score'),
                              (options.small, 'scikit-learn balanced_accuracy_score'),
                              (options.small, 'torchmetrics MulticlassRecall')):
            file = predictions(pathlib.Path(folder), classes, options.images)
            yield from against(peer, file, classes, options)
    yield from from_logits(options)


def predictions(folder, classes, images):
    """File of int64 `[2, n]`: predicted and true classes, 30 % wrong, every class at least once."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    wrong = rng.random(images) < 0.3
    predicted = np.where(wrong, rng.integers(0, classes, images), labels)
    path = folder / f'{classes}.npy'
    np.save(path, np.stack([predicted, labels]))
    return path


def against(peer, file, classes, options):
    """Rows for time and memory."""
    settings = {'predictions': str(file), 'classes': classes}
    found = {'bsce-tf': [], peer: []}
    errors = {}
    for _ in range(options.repeats):  # of processes: memory is that of the first pass
        for name, measured in found.items():
            with process(name, settings, options) as worker:
                measured.append((worker.turn()[0], max(worker.facts['memory'], 0.01)))
                errors[name] = worker.facts['error']
    if not np.isclose(*errors.values(), rtol=1e-4):
        raise RuntimeError(f'{peer}: the errors differ: {errors}')
    ours, theirs = (np.array(values).T for values in found.values())
    what = f'mean top-1 error of {options.images:,} predictions, K = {classes:,}'
    yield measure.row(f'{what}: time', peer, ours[0], theirs[0], '≥ 5')
    yield measure.row(f'{what}: memory', peer, ours[1], theirs[1], unit='MB',
                      inverse=True)


def process(name, settings, options):
    if name.startswith('torchmetrics'):
        file = str(pathlib.Path(__file__).with_name('torch_peers.py'))
        return measure.Worker(options.peer_python, file,
                              {'kind': 'recall', 'limit': LIMIT, **settings})
    return measure.Worker(sys.executable, __file__, {'name': name, **settings})


def work(settings):
    predicted, labels = np.load(settings['predictions'])
    classes = settings['classes']
    if settings['name'] == 'bsce-tf':
        from bsce_tf.evaluation.counts import Counts

        def turn():
            counted = Counts(['error'], classes)
            hit = (predicted == labels)[:, None, None].repeat(2, 2)  # first, and among the best
            counted.update(hit, labels, np.ones(len(labels)))
            return counted.errors(np.ones(classes))['error']['mean_top1_error']
    else:
        from sklearn import metrics as theirs
        function = {'recall_score': lambda: theirs.recall_score(labels, predicted,
                                                                average='macro'),
                    'balanced_accuracy_score': lambda: theirs.balanced_accuracy_score(
                        labels, predicted)}[settings['name'].split()[1]]

        def turn():
            return 1 - function()

    before = measure.from_here()
    error = turn()
    memory = measure.peak() - before
    measure.serve(lambda: [turn()], memory=memory, error=error)


def from_logits(options):
    """Updates with logits, K numbers an image."""
    import keras
    import tensorflow as tf

    from bsce_tf import metrics
    rng = np.random.default_rng(0)
    labels = tf.constant(rng.integers(0, options.classes, options.batch))
    logits = tf.constant(rng.standard_normal((options.batch, options.classes), 'float32'))

    def updates(metric):
        update = tf.function(lambda: metric.update_state(labels, logits), autograph=False)

        def turn():
            for _ in range(options.updates):
                update()
            metric.result().numpy()

        return turn

    ways = {'ours': updates(metrics.MeanTop1Error(options.classes)),
            'keras': updates(keras.metrics.SparseCategoricalAccuracy())}
    found = measure.alternate(ways, options.repeats)
    yield measure.row(f'MeanTop1Error from logits, {options.updates} batches of {options.batch}, '
                      f'K = {options.classes:,}', 'Keras SparseCategoricalAccuracy',
                      found['ours'], found['keras'])


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'processes of each way'),
                images=(148_000, 20_000, 'predictions'), classes=(50_030, 500, 'K'),
                small=(10_006, 100, 'K of the peers that count K × K pairs'),
                batch=(128, 128, 'images of a batch of logits'),
                updates=(20, 2, 'batches of a turn'))
