"""What large catalogues cost beside training: bad images, paths, folders, and a second look.

  python -m benchmarks.catalogue

* Bad images that are skipped: 3,000 of 30,000, a tenth of each class. The third thousand beside the
  first: each should cost the same, with the line of bad_images.csv that it adds.
* Memory of the paths of a million images, one of them very long, beside their bytes.
* Listing a tree of folders, with its index beside walking it anew.
* `inspect` of files that have not changed, beside the first time, which reads and hashes them.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402
from absl import logging  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf import recipes  # noqa: E402
from bsce_tf.catalogue import inspect  # noqa: E402
from bsce_tf.data import sources, texts  # noqa: E402
from bsce_tf.data.bad_images import BadImages  # noqa: E402
from bsce_tf.data.examples import Examples  # noqa: E402
from bsce_tf.data.reading import records  # noqa: E402

CLASS = 10  # images of a class, one of which is bad
LONG = 1500  # bytes of one path
BYTES = 6000  # of a file
_SETTLED = 2.5  # seconds after which the times of folders tell of every change


class Tenth:
    """A store in which every tenth image is bad."""

    def __init__(self, good):
        self._good = good

    def read(self, numbers):
        """Bytes of the images."""
        return [self._good if number % CLASS else b'no image' for number in numbers]


def rows(options):
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        found = [skipping(folder, options), paths(options)]
        write(folder / 'files', options.files)
        time.sleep(_SETTLED)
        found += [listing(folder, options), inspecting(folder, options)]
    yield from found


def skipping(folder, options):
    """The row on bad images."""
    Image.new('RGB', (8, 8)).save(folder / 'good.png')
    labels = np.arange(options.bad * CLASS) // CLASS
    store = Tenth((folder / 'good.png').read_bytes())
    names = np.array([b'%07d.png' % i for i in range(len(labels))])
    examples = Examples(labels, tuple(map(str, range(options.bad))),
                        records=records.Records(store, names), origin='benchmark')
    logging.set_verbosity(logging.ERROR)  # a line for each
    parts = []
    for i in range(options.repeats):
        bad = BadImages('skip', 1.0, report=folder / f'bad_images {i}.csv')
        seconds = []
        for part in np.array_split(np.arange(options.bad), 3):
            begin = time.perf_counter()
            for k in part:
                bad.replacement(examples, k * CLASS, k)
            seconds.append((time.perf_counter() - begin) / len(part))
        parts.append(seconds)
    first, _, last = np.array(parts).T
    return measure.row(f'a bad image that is skipped, the last third of {options.bad:,}',
                       'the first third', last, first, '≤ 1.5')


def paths(options):
    """The row on memory of paths."""
    names = [b'%03d/product_%012d.jpg' % (i % 500, i) for i in range(options.paths)]
    names[0] = b'x' * LONG
    kept = texts.of(names)
    taken, least = kept.data.nbytes + kept.ends.nbytes, sum(map(len, names))
    return measure.row(
        f'memory of {options.paths:,} paths, one of {LONG:,} bytes', 'their bytes',
        [taken / 1e6] * options.repeats, [least / 1e6] * options.repeats, '≤ 1.5', 'MB',
        f'a NumPy array of bytes would take {LONG * options.paths / 1e6:,.0f} MB')


def write(folder, count):
    """Files of random bytes in 500 folders."""
    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / f'{i % 500:03d}'
        place.mkdir(parents=True, exist_ok=True)
        (place / f'{i}.jpg').write_bytes(rng.bytes(BYTES))


def listing(folder, options):
    """The row on listing folders."""
    load = {'root': str(folder / 'files'), 'train': '.'}
    found = measure.alternate({
        'index': lambda: sources.load('folder', cache=str(folder / 'cache'), **load) and None,
        'walk': lambda: sources.load('folder', cache='off', **load) and None}, options.repeats)
    if not any((folder / 'cache').iterdir()):
        raise RuntimeError('the index was not kept')
    return measure.row(f'listing {options.files:,} files in 500 folders, by the index',
                       'walking the folders', found['index'], found['walk'])


def inspecting(folder, options):
    """The row on inspecting again."""
    config = recipes.defaults()
    recipes.change(config, {'data.source': 'folder', 'data.root': str(folder / 'files'),
                            'data.train': '.', 'data.cache': 'off'})
    first, again = [], []
    for i in range(options.repeats):
        for seconds in (first, again):
            begin = time.perf_counter()
            inspect.run(config, folder / f'inspected {i}')
            seconds.append(time.perf_counter() - begin)
    return measure.row(f'inspect of {options.files:,} files of {BYTES // 1000} kB again',
                       'the first time, files in the file cache', again, first)


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'of each'), bad=(3000, 30, 'bad images'),
                paths=(1_000_000, 100_000, 'paths'), files=(25_000, 20_000, 'files'))
