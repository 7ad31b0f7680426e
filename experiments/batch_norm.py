"""With which BatchNorm statistics should a fine-tune be evaluated? Three ways of the same weights.

    python -m experiments.batch_norm [--seeds=0,1,2] [--sizes=200,800,2000]

EfficientNet-Lite0 from ImageNet weights, as in `experiments.finetune`: moving averages with the
network's own momentum, with 0.9, and estimated anew on the training images. The way changes no
weight, so each seed's runs differ in their statistics alone, but for rounding. Every error is a row
of results/batch_norm.csv, which is written as rows come; results/batch_norm.md has the means.
"""

import pathlib

from absl import app, flags

from bsce_tf import files
from bsce_tf.data.sources import fashion_mnist
from experiments import finetune, intervals, rows
from experiments.provenance import provenance

SIZES = flags.DEFINE_list('sizes', ['200', '800', '2000'], 'Training images, of all classes.')
RATE = flags.DEFINE_float('rate', 0.02, 'Learning rate of all runs.')

KEY = 'train_images', 'seed', 'statistics'
WAYS = {'own': 'moving, own momentum (0.99)', '0.9': 'moving, momentum 0.9',
        'estimated': 'estimated'}
TABLE, LOCK = pathlib.Path('results/batch_norm.csv'), pathlib.Path('runs/batch_norm/.lock')


def measure(size, seed, test):
    """Yields (way, test error) of a size of the training set and a seed."""
    images, _ = finetune.part(fashion_mnist.load().train, size, seed)
    model, batches, _ = finetune.train('imagenet', RATE.value, seed, images)
    yield 'own', finetune.error(model, test)
    finetune.estimate(model, batches, images)
    yield 'estimated', finetune.error(model, test)
    model, _, _ = finetune.train('imagenet', RATE.value, seed, images, momentum=0.9)
    yield '0.9', finetune.error(model, test)


def table(found):
    """Markdown of means over seeds and of the difference from `estimated`."""
    lines = ['| training images | statistics | mean top-1 error | − estimated, 95 % interval |',
             '| ---: | --- | ---: | ---: |']
    for size in sorted({int(row['train_images']) for row in found.values()}):
        errors = {way: {row['seed']: float(row['test_error']) for row in found.values()
                        if (row['train_images'], row['statistics']) == (str(size), way)}
                  for way in WAYS}
        lines += [f'| {size} | {name} | {intervals.summary(errors[way])} | '
                  + ('' if way == 'estimated' else
                     intervals.difference(errors[way], errors['estimated'])) + ' |'
                  for way, name in WAYS.items()]
    return '\n'.join(lines) + '\n'


def main(_):
    """Runs what is not in the table yet, and writes the page."""
    test = fashion_mnist.load().test.subset(range(finetune.TEST_IMAGES.value))
    for seed in finetune.SEEDS.value:
        for size in SIZES.value:
            if (size, seed, '0.9') in rows.read(TABLE, KEY):  # the last of its three
                continue
            for way, error in measure(int(size), int(seed), test):
                row = {'train_images': size, 'seed': seed, 'statistics': way,
                       'test_error': round(error, 4), 'test_images': len(test),
                       'learning_rate': RATE.value, 'epochs': finetune.EPOCHS.value,
                       **provenance()}
                rows.add(TABLE, KEY, row, LOCK)
                print(f'{size} images, seed {seed}, {way}: {error:.4f}', flush=True)
    with files.replacing(TABLE.with_suffix('.md')) as temporary:
        temporary.write_text(table(rows.read(TABLE, KEY)))
    print(table(rows.read(TABLE, KEY)))


if __name__ == '__main__':
    flags.FLAGS.set_default('seeds', ['0', '1', '2'])
    app.run(main)
