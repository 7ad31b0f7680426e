"""How time and memory grow with the catalogue, up to AliProducts' 2.5 million images.

  python -m benchmarks.growth        also writes results/growth.csv and results/growth.svg

For each size, in a process of its own: opening the list from its index and making the sampler;
one epoch of the sampler's indices; a step of the loss, forward and backward, and an update of the
metric, batch 128; a checkpoint of a small network with its head and metric. Medians of five; the
rows compare the largest size with the smallest. With --quick the files go to runs/benchmarks.
"""

import csv
import io
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402

from benchmarks import index, measure  # noqa: E402
from bsce_tf import files  # noqa: E402
from bsce_tf.report.axes import Axis, chart  # noqa: E402
from bsce_tf.report.markup import element, join  # noqa: E402

SIZES = ((10_000, 10), (50_000, 100), (250_000, 1000), (1_000_000, 10_000),
         (index.IMAGES, index.CLASSES))
TIMES = {'open': 'index and sampler', 'epoch': 'indices of an epoch', 'loss': 'loss step',
         'metric': 'metric update', 'checkpoint': 'checkpoint'}  # key → name, seconds
MEMORY = {'data_mb': 'memory of index and sampler', 'loss_mb': 'memory of the loss step',
          'checkpoint_mb': 'size of a checkpoint'}
COLOURS = ('#0b6fb8', '#c2570c', '#2f7d32', '#8a3ffc', '#555')


def rows(options):
    sizes = SIZES[:options.sizes]
    table = []
    for images, classes in sizes:
        with measure.Worker(sys.executable, __file__, {
                'images': images, 'classes': classes, 'batch': options.batch,
                'repeats': options.repeats}) as worker:
            table.append({'images': images, 'classes': classes, **worker.facts})
    folder = measure.HOME / ('runs/benchmarks' if options.quick else 'results')
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{key: np.median(value) for key, value in line.items()} for line in table]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows({key: f'{value:.6g}' if key not in ('images', 'classes') else int(value)
                      for key, value in line.items()} for line in lines)
    files.write_text(folder / 'growth.csv', text.getvalue())
    files.write_text(folder / 'growth.svg', picture(lines))
    small, large = table[0], table[-1]
    for key, name in (TIMES | MEMORY).items():
        yield measure.row(
            f'{name}, N = {large["images"]:,}, K = {large["classes"]:,}',
            f'N = {small["images"]:,}, K = {small["classes"]:,}', large[key], small[key],
            unit='s' if key in TIMES else 'MB', inverse=True,
            note=f'N grows {large["images"] / small["images"]:.0f} times, K '
                 f'{large["classes"] / small["classes"]:.0f} times')


def picture(lines):
    """Seconds against N, both on log scales, as an SVG file."""
    images = np.array([line['images'] for line in lines], float)
    seconds = {name: np.array([line[key] for line in lines]) for key, name in TIMES.items()}
    every = np.concatenate(list(seconds.values()))
    x = Axis(images.min() * 0.9, images.max() * 1.1, 60, 420, log=True, tight=True)
    y = Axis(every.min(), every.max(), 260, 30, log=True)
    marks = [element('style', '.grid path{stroke:#ddd;fill:none}.letters{fill:#333}'
                              'text{font:11px sans-serif}')]
    for i, (name, values) in enumerate(seconds.items()):
        points = [f'{float(x(a)):.1f} {float(y(b)):.1f}'
                  for a, b in zip(images, values, strict=True)]
        marks.append(element('path', d='M' + 'L'.join(points), fill='none', stroke=COLOURS[i],
                             stroke_width=2))
        marks.append(element('text', name, x=430, y=50 + 16 * i, fill=COLOURS[i]))
    found = chart('Time against the size of the catalogue',
                  'Each line is the median of five measurements at growing N and K.', x, y,
                  join(marks), (560, 300), ('training images N (K grows too)', 'seconds'))
    return str(found).replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + '\n'


def work(settings):
    """Measures one size."""
    images, classes, repeats = (settings[key] for key in ('images', 'classes', 'repeats'))
    facts = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        facts |= data_side(folder, images, classes, repeats)
        facts |= loss_and_metric(classes, settings['batch'], repeats)
        facts |= saved(folder, classes, repeats)
    measure.serve(lambda: None, **facts)


def timed(function, repeats):
    """Seconds of each call after one that is not counted."""
    return measure.alternate({'it': function}, repeats)['it']


def data_side(folder, images, classes, repeats):
    import tensorflow as tf

    from bsce_tf.data import sources
    from bsce_tf.data.sampler import Sampler
    index.write_list(folder / 'train.json', images, classes)

    def opened():
        train = sources.load('aliproducts', root=str(folder), cache=str(folder / 'cache')).train
        return Sampler(train.labels, train.num_classes, gamma=0.5)

    opened()  # makes the index
    before = measure.from_here()
    sampler = opened()
    memory = max(measure.peak() - before, 0.1)
    draw = tf.function(sampler, autograph=False, input_signature=[
        tf.TensorSpec([None], tf.int64)])

    def epoch():
        for start in range(0, images, 8192):
            draw(tf.range(start, min(start + 8192, images), dtype=tf.int64))

    return {'open': timed(opened, repeats), 'epoch': timed(epoch, repeats),
            'data_mb': [memory] * repeats}


def loss_and_metric(classes, batch, repeats):
    import tensorflow as tf

    from benchmarks import loss
    from bsce_tf import metrics
    labels, logits, weights = (tf.constant(part) for part in loss.data(classes, batch))
    step = loss.step('bsce', weights.numpy())
    step(labels[:1], logits[:1])
    before = measure.from_here()
    step(labels, logits)
    memory = max(measure.peak() - before, 0.1)
    metric = metrics.MeanTop1Error(classes)
    update = tf.function(lambda: metric.update_state(labels, logits), autograph=False)
    return {'loss': timed(lambda: step(labels, logits)[0].numpy(), repeats),
            'metric': timed(update, repeats), 'loss_mb': [memory] * repeats}


def saved(folder, classes, repeats):
    from bsce_tf import metrics
    from bsce_tf.models import classifier
    from bsce_tf.training import checkpoint
    from bsce_tf.training.state import State
    model = classifier.build('small_resnet', classes, image_size=28)
    metric = metrics.MeanTop1Error(classes)
    arrays = [v.numpy() for v in (*model.variables, *metric.variables)]
    begin = time.perf_counter()
    times = timed(lambda: checkpoint.save(folder / 'checkpoints', State(
        total=int(1e6 * (time.perf_counter() - begin))), arrays), repeats)
    size = next((folder / 'checkpoints').iterdir()).stat().st_size / 1e6
    return {'checkpoint': times, 'checkpoint_mb': [size] * repeats}


if __name__ == '__main__':
    measure.run(__doc__, rows, work, repeats=(5, 5, 'measurements'),
                sizes=(len(SIZES), 2, 'how many, from the smallest'), batch=(128, 8, 'images'))
