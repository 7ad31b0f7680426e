"""Does a start from ImageNet weights help? EfficientNet-Lite0 with them and from scratch.

    python -m experiments.finetune [--seeds=0,1] [--train_images=800] [--epochs=3]

Fashion-MNIST, made larger to 96 px and cut to a few images, so that two cores do it in minutes.
Both arms have the same images, steps, loss and optimizer, and each the same learning rates to
choose from: the one with the smallest error on held-out training images is tested. Every run is a
row of results/finetune.csv, the chosen ones with a test error.
"""

import csv
import math
import pathlib
import time

import keras
from absl import app, flags

from bsce_tf import files, losses, metrics
from bsce_tf.data import pipeline, split
from bsce_tf.data.images.augment import Augmentation
from bsce_tf.data.sampler import Sampler
from bsce_tf.data.sources import fashion_mnist
from bsce_tf.data.view import View
from bsce_tf.models import classifier
from bsce_tf.training import averaging
from experiments.provenance import provenance

SEEDS = flags.DEFINE_list('seeds', ['0'], 'Seeds of weights, of the choice of images and crops.')
RATES = flags.DEFINE_list('rates', ['0.02', '0.1'], 'Learning rates that each arm may choose from.')
TRAIN_IMAGES = flags.DEFINE_integer('train_images', 800, 'Training images, of all classes.', 20)
HELD_OUT = flags.DEFINE_integer('held_out', 500, 'Training images to choose the rate by.', 10)
TEST_IMAGES = flags.DEFINE_integer('test_images', 1000, 'Of the official test split.', 10, 10_000)
EPOCHS = flags.DEFINE_integer('epochs', 3, 'Over the training images.', 1)
SIZE = flags.DEFINE_integer('size', 96, 'Side of the images in pixels.', 96)
BATCH = flags.DEFINE_integer('batch_size', 32, 'Images in a step.', 1)
OUTPUT = flags.DEFINE_string('output', 'results/finetune.csv', 'The table.')

BACKBONE = 'efficientnet_lite0'
ARMS = {'imagenet': 'imagenet', 'scratch': None}


def train(arm, rate, seed, images, momentum=0.0):
    """Trains a classifier; its BatchNorm statistics are the moving ones.

    Args:
      arm: of `ARMS`.
      rate: learning rate at the start of a cosine.
      seed: of weights and crops.
      images: `Examples`.
      momentum: of the moving statistics; 0: the backbone's own.

    Returns:
      Tuple (the classifier, compiled; its training batches; the seconds that training took).
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = classifier.build(BACKBONE, images.num_classes, ARMS[arm], image_size=SIZE.value,
                             channels=1)
    if momentum:
        classifier.set_batch_norm_momentum(model, momentum)
    steps = math.ceil(EPOCHS.value * len(images) / BATCH.value)
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, steps), momentum=0.9,
                             nesterov=True),
        losses.by_name('ce', class_weights=None),
        metrics=[metrics.MeanTop1Error(images.num_classes)])
    sampler = Sampler(images.labels, images.num_classes, seed)
    batches = pipeline.training(
        images, sampler, View(SIZE.value, (SIZE.value, SIZE.value + 8), 'multi_scale', channels=1),
        batch_size=BATCH.value, augmentation=Augmentation(flip=True), seed=seed)
    start = time.perf_counter()
    model.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model, batches, time.perf_counter() - start


def estimate(model, batches, images):
    """Makes the BatchNorm statistics anew, on one epoch."""
    averaging.Statistics(model).estimate(batches, math.ceil(len(images) / BATCH.value))


def error(model, images):
    """Mean top-1 error of a compiled classifier."""
    view = View(SIZE.value, (SIZE.value,), channels=1)
    batches = pipeline.evaluation(images, [view], BATCH.value).map(
        lambda batch: (batch.crops[0][:, 0], batch.labels))
    return model.evaluate(batches, verbose=0, return_dict=True)['mean_top1_error']


def part(examples, count, seed):
    """(`count` examples with the classes in equal shares, the rest)."""
    rest, taken = split.stratified_split(examples.labels, examples.num_classes,
                                         count / len(examples), seed)
    return examples.subset(taken), examples.subset(rest)


def compare(seed):
    """Yields a row a run: both arms at every rate, and the test error of each arm's best."""
    everything = fashion_mnist.load()
    images, rest = part(everything.train, TRAIN_IMAGES.value, seed)
    held_out, _ = part(rest, HELD_OUT.value, seed)
    test = everything.test
    if TEST_IMAGES.value < len(test):
        test = test.subset(range(TEST_IMAGES.value))
    for arm in ARMS:
        runs = []
        for rate in map(float, RATES.value):
            model, batches, seconds = train(arm, rate, seed, images)
            estimate(model, batches, images)
            runs.append({
                'backbone': BACKBONE, 'start': arm, 'learning_rate': rate, 'seed': seed,
                'size': SIZE.value, 'train_images': len(images), 'epochs': EPOCHS.value,
                'batch_size': BATCH.value, 'held_out_images': len(held_out),
                'held_out_error': round(error(model, held_out), 4), 'test_images': len(test),
                'test_error': '', 'training_seconds': round(seconds, 1)})
            if runs[-1] == min(runs, key=lambda run: run['held_out_error']):
                for run in runs[:-1]:
                    run['test_error'] = ''
                runs[-1]['test_error'] = round(error(model, test), 4)
            print(f'seed {seed}, {arm}, rate {rate}: error {runs[-1]["held_out_error"]:.4f} on '
                  f'held-out images, {seconds:.0f} s', flush=True)
        yield from runs


def main(_):
    """Runs every seed, writes the table and prints the tested runs."""
    rows = [{**row, **provenance()} for seed in map(int, SEEDS.value) for row in compare(seed)]
    output = pathlib.Path(OUTPUT.value)
    output.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(output) as temporary, open(temporary, 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    print(f'\n| start | seed | rate | mean top-1 error, {rows[0]["test_images"]} test images |\n'
          '| --- | ---: | ---: | ---: |')
    for row in rows:
        if row['test_error'] != '':
            print(f'| {row["start"]} | {row["seed"]} | {row["learning_rate"]:g} '
                  f'| {row["test_error"]:.4f} |')
    print(f'\n{output}: {len(rows)} rows')


if __name__ == '__main__':
    app.run(main)
