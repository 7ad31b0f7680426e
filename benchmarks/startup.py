"""How long the start takes: to the first training step, and to import the loss.

  python -m benchmarks.startup

The list of a catalogue of AliProducts' size (2.5 million images, 50,030 classes; the files are 16
small JPEGs) with its index cached, small network, CPU. The peer does only what nobody can do
without: imports Keras with TensorFlow, builds the same network and takes one step of `fit` on one
batch. Importing `bsce_tf.losses` is timed in a process that imports Keras first, as the time of
both against Keras alone.
"""

import pathlib
import tempfile

from PIL import Image

from benchmarks import index, measure

_TRAIN = '''
import json, os, runpy, sys, tempfile, time
begin = time.perf_counter()
workdir = tempfile.TemporaryDirectory()
sys.argv = ['main.py', *{flags!r}, '--workdir=' + workdir.name + '/run']
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'
from bsce_tf.training.trainer import Trainer
train_step = Trainer.train_step
def first(self, *args, **kwargs):
    train_step(self, *args, **kwargs)
    print(json.dumps(time.perf_counter() - begin), flush=True)
    workdir.cleanup()
    os._exit(0)
Trainer.train_step = first
runpy.run_path({main!r}, run_name='__main__')
'''
_PEER = '''
import json, os, time
begin = time.perf_counter()
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'
import keras
import numpy as np
from bsce_tf.models import classifier
model = classifier.build('small_resnet', {classes}, image_size=28)
model.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True),
              jit_compile=False)
model.fit(np.zeros((64, 28, 28, 3), 'uint8'), np.zeros(64, 'int32'), batch_size=64, verbose=0)
print(json.dumps(time.perf_counter() - begin), flush=True)
os._exit(0)
'''
_IMPORT = '''
import json, time
begin = time.perf_counter()
import keras
{more}
print(json.dumps(time.perf_counter() - begin))
'''


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        flags = catalogue(pathlib.Path(folder), options)
        train = _TRAIN.format(flags=flags, main=str(measure.HOME / 'main.py'))
        peer = _PEER.format(classes=options.classes)
        found = measure.alternate({'ours': lambda: measure.script(train),
                                   'peer': lambda: measure.script(peer)}, options.repeats)
    yield measure.row(f'main.py --mode=train to the end of the first step, {options.images:,} '
                      f'images, K = {options.classes:,}, index cached',
                      'one step of fit on one batch', found['ours'], found['peer'], '≤ 12 s')
    ways = {name: lambda more=more: measure.script(_IMPORT.format(more=more))
            for name, more in (('both', 'import bsce_tf.losses'), ('keras', ''))}
    found = measure.alternate(ways, options.repeats)
    extra = [a - b for a, b in zip(found['both'], found['keras'], strict=True)]
    middle = sorted(extra)[len(extra) // 2]
    yield measure.row('import keras, bsce_tf.losses', 'import keras', found['both'],
                      found['keras'], '≤ 1.05',
                      note=f'the difference is {middle:.3f} s (aim ≤ 0.1 s), '
                           f'{min(extra):.3f} to {max(extra):.3f}')


def catalogue(folder, options):
    """Makes the list and the files; returns the flags of a run on them."""
    root = folder / 'data'
    (root / 'train').mkdir(parents=True)
    for i in range(16):
        Image.new('RGB', (64, 64), (16 * i, 99, 99)).save(root / 'train' / f'{i}.jpg')
    index.write_list(root / 'train.json', options.images, options.classes, files=16)
    config = {'data.source': 'aliproducts', 'data.root': root, 'data.cache': folder / 'cache',
              'model.backbone': 'small_resnet', 'image.size': 28, 'image.scales': '(28,32)',
              'image.eval_scale': 28, 'batch_size': 64}
    return [f'--config={measure.HOME}/configs/default.py', '--mode=train',
            *(f'--config.{key}={value}' for key, value in config.items())]


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'starts of each way'),
                images=(index.IMAGES, 2000, 'N'), classes=(index.CLASSES, 20, 'K'))
