"""Speed and memory of each network, against timm on PyTorch.

  python -m benchmarks.backbones
  python -m benchmarks.backbones --forward resnest101 resnest200 --train

Both networks have a head of 1,000 classes and random weights, and get the same number of images at
their native size, in float32, with oneDNN. They live in two processes that take turns. Memory is
the peak of a whole process, imports included. For training alone:
`--forward --train pnasnet5large`.
"""

import contextlib
import pathlib
import sys

from benchmarks import measure
from bsce_tf.errors import InputError
from bsce_tf.models import backbones

# Our name → timm's.
NETWORKS = {
    'pnasnet5large': 'pnasnet5large', 'senet154': 'senet154', 'legacy_senet154': 'legacy_senet154',
    'resnet50': 'resnet50', 'resnet101': 'resnet101', 'resnet152': 'resnet152',
    'resnest50': 'resnest50d', 'resnest101': 'resnest101e', 'resnest200': 'resnest200e',
    'resnest269': 'resnest269e',
}
AIMS = {'pnasnet5large': '≥ 2.0', 'resnest269': '≥ 1.3', 'senet154': '≥ 1.0',
        'resnet152': '≥ 1.2'}  # of the forward pass; of training 1.0


def rows(options):
    for train, names in ((False, options.forward), (True, options.train)):
        for name in names:
            if name not in NETWORKS:
                raise InputError(f'{name}: expected some of {", ".join(NETWORKS)}.')
            yield from compare(name, train, options)


def compare(name, train, options):
    peer, size = NETWORKS[name], options.size or backbones.get(name).weights.size
    settings = {'name': name, 'size': size, 'batch': options.batch, 'train': train}
    peers = str(pathlib.Path(__file__).with_name('torch_peers.py'))
    ours = sys.executable, __file__, settings
    theirs = options.peer_python, peers, {**settings, 'kind': 'network', 'name': peer}
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(measure.Worker(*each, TF_ENABLE_ONEDNN_OPTS='1'))
                   for each in (ours, theirs)]
        turns = [[worker.turn() for worker in workers] for _ in range(options.repeats)]
    seconds, memory = ([[turn[i][kind] for turn in turns] for i in (0, 1)] for kind in (0, 1))
    what = (f'{name}, {"training step" if train else "forward pass"}, {size} px, '
            f'batch {options.batch}')
    yield measure.row(what, f'timm {peer}', *seconds, '≥ 1.0' if train else AIMS.get(name, ''))
    if train:
        yield measure.row(f'{what}: peak memory', f'timm {peer}', *memory, '≥ 1.0', 'MB')


def work(settings):
    """Serves forward passes or training steps of ours."""
    import keras
    import numpy as np

    name, size, batch = (settings[key] for key in ('name', 'size', 'batch'))
    backbone = backbones.get(name).build((size, size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(1000)(pooled))
    images = np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype('float32')
    labels = np.arange(batch)
    if settings['train']:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, 0.9), loss, jit_compile=False)

        def step():
            model.train_on_batch(images, labels)
    else:
        def step():
            model.predict_on_batch(images)

    step()
    step()  # the second is the first that does not trace or allocate
    measure.serve(step)


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'turns of each way'),
                lists={'forward': (['pnasnet5large', 'resnest269', 'senet154', 'resnet152'],
                                   ['resnest50'], 'networks'),
                       'train': (['senet154', 'resnest50', 'pnasnet5large'], ['resnet50'],
                                 'networks')},
                batch=(4, 1, 'images'), size=(0, 96, 'pixels; 0: the native size'))
