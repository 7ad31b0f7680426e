"""How fast a list of AliProducts' size opens: 2,498,771 images of 50,030 classes.

  python -m benchmarks.index

Makes a JSON list of that size, then reads it in fresh processes: the first time (JSON, to be within
60 s and 3 GB), from the cached index (within 3 s and 500 MB), and, as the peer, by `json.load` into
a list of dicts, as data readers commonly do. Peaks of resident memory have the imports included.
"""

import pathlib
import tempfile

import numpy as np

from benchmarks import measure

IMAGES, CLASSES = 2_498_771, 50_030

_MEASURE = '''
import json, time
from benchmarks import measure
start = time.perf_counter()
{imports}
{body}
seconds = time.perf_counter() - start
print(json.dumps([seconds, measure.peak()]))
'''
_OURS = '''
train = sources.load('aliproducts', root={root!r}, cache={cache!r}).train
assert len(train) == {images} and train.num_classes == {classes}
assert train.paths[{images} - 1].endswith(b'.jpg') and int(train.counts.sum()) == {images}
'''
_PEER = '''
images = json.load(open({root!r} + '/train.json'))['images']
names = {{name: k for k, name in enumerate(sorted({{image['class_id'] for image in images}}))}}
pairs = [('train/' + image['class_id'] + '/' + image['image_id'], names[image['class_id']])
         for image in images]
assert len(pairs) == {images} and len(names) == {classes}
'''


def rows(options):
    runs = {'peer': [], 'first': [], 'cached': []}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, 'data')
        root.mkdir()
        write_list(root / 'train.json', options.images, options.classes)
        facts = {'root': str(root), 'images': options.images, 'classes': options.classes}
        ours = 'from bsce_tf.data import sources'
        for i in range(options.repeats):  # in turn, so that a busy machine slows all of them
            facts['cache'] = str(pathlib.Path(folder, f'cache {i}'))
            runs['peer'].append(opened('', _PEER, facts))
            for name in ('first', 'cached'):
                runs[name].append(opened(ours, _OURS, facts))
    peer = np.array(runs['peer']).T
    what = f'a JSON list of {options.images:,} images, K = {options.classes:,}'
    for name, title, bound in (('first', 'first time', '≤ 60 s'),
                               ('cached', 'from the index', '≤ 3 s')):
        mine = np.array(runs[name]).T
        yield measure.row(f'{what}, {title}', 'json.load', mine[0], peer[0], bound)
        yield measure.row(f'{what}, {title}: peak memory', 'json.load', mine[1], peer[1],
                          unit='MB', inverse=True)


def write_list(path, images, classes, files=0):
    """A list in AliProducts' form: class sizes fall as a power, names are random.

    With `files` the images take turns with so many names: 0.jpg, 1.jpg, … Without, the first image
    is made, empty, as an index is kept only where images are found.
    """
    rng = np.random.default_rng(0)
    weights = np.arange(1, classes + 1) ** -0.7
    labels = np.concatenate([np.arange(classes), rng.choice(
        classes, images - classes, p=weights / weights.sum())])
    names = (np.arange(images) % files if files else rng.integers(0, 2 ** 63, images))
    form = 'd' if files else '016x'
    with open(path, 'w', encoding='ascii') as file:
        file.write('{"images": [')
        for i, (label, name) in enumerate(zip(labels, names, strict=True)):
            file.write(f'{", " if i else ""}{{"class_id": "{label:05d}", '
                       f'"image_id": "{name:{form}}.jpg"}}')
        file.write(']}')
    if not files:
        first = path.parent / path.stem / f'{names[0]:{form}}.jpg'
        first.parent.mkdir(exist_ok=True)
        first.write_bytes(b'')


def opened(imports, body, facts):
    """(seconds, peak memory in MB) of a process that opens the list."""
    return measure.script(_MEASURE.format(imports=imports, body=body.format(**facts)))


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'processes of each way'),
                images=(IMAGES, 2000, 'N'), classes=(CLASSES, 20, 'K'))
