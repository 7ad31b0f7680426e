"""How fast a list of AliProducts' size opens: 2,498,771 images of 50,030 classes.

  python benchmarks/index.py

Makes a JSON list of that size, then reads it in fresh processes: the first time (JSON, to be within
60 s and 3 GB), from the cached index (within 3 s and 500 MB), and, as the peer, by `json.load` into
a list of dicts, as data readers commonly do. Prints the medians of wall time and the peaks of
resident memory, imports included, and the ratios to the peer.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

IMAGES, CLASSES = 2_498_771, 50_030

_MEASURE = '''
import json, resource, sys, time
sys.path.insert(0, {home!r})
start = time.perf_counter()
{imports}
{body}
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=IMAGES)
    parser.add_argument('--classes', type=int, default=CLASSES)
    parser.add_argument('--repeats', type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, 'data')
        root.mkdir()
        write_list(root / 'train.json', options.images, options.classes)
        size = (root / 'train.json').stat().st_size / 2 ** 20
        print(f'{options.images} images, {options.classes} classes, list of {size:.0f} MB, '
              f'{options.repeats} repeats: median [range]')
        facts = {'root': str(root), 'images': options.images, 'classes': options.classes}
        ours = 'from bsce_tf.data import sources'
        runs = {'peer: json.load': [], 'first time': [], 'from the index': []}
        for i in range(options.repeats):  # in turn, so that a busy machine slows all of them
            cache = str(pathlib.Path(folder, f'cache {i}'))
            runs['peer: json.load'].append(_measure('', _PEER, facts))
            for name in ('first time', 'from the index'):
                runs[name].append(_measure(ours, _OURS, facts | {'cache': cache}))
    peer = statistics.median(seconds for seconds, _ in runs['peer: json.load'])
    for name, measured in runs.items():
        seconds = [second for second, _ in measured]
        middle = statistics.median(seconds)
        print(f'{name:16} {middle:7.2f} s [{min(seconds):.2f} to {max(seconds):.2f}]  '
              f'peak {max(peak for _, peak in measured):5.0f} MB  {peer / middle:6.2f} × peer')


def write_list(path, images, classes):
    """A list in AliProducts' form: class sizes fall as a power, names are random."""
    rng = np.random.default_rng(0)
    weights = np.arange(1, classes + 1) ** -0.7
    labels = np.concatenate([np.arange(classes), rng.choice(
        classes, images - classes, p=weights / weights.sum())])
    names = rng.integers(0, 2 ** 63, images)
    with open(path, 'w', encoding='ascii') as file:
        file.write('{"images": [')
        for i, (label, name) in enumerate(zip(labels, names, strict=True)):
            file.write(f'{", " if i else ""}{{"class_id": "{label:05d}", '
                       f'"image_id": "{name:016x}.jpg"}}')
        file.write(']}')


def _measure(imports, body, facts):
    script = _MEASURE.format(home=str(pathlib.Path(__file__).parents[1]), imports=imports,
                             body=body.format(**facts))
    found = subprocess.run([sys.executable, '-c', script], check=True, capture_output=True,
                           text=True)
    return json.loads(found.stdout)


if __name__ == '__main__':
    main()
