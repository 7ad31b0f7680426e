"""The folder of an audit of image files, by the audit's own writers; no network is trained."""

import csv
import json

import numpy as np
from PIL import Image

from bsce_tf import files
from bsce_tf.audit import audit, duplicates, folds, out_of_sample, top_probabilities
from bsce_tf.data.reading import records
from bsce_tf.data.sources import generated
from tests.smoke import smoke

WRONG = range(0, 72, 9)  # images that have the label of the next class
FOLDS = 2


def write_images(folder):
    """72 PNG files of 6 classes with lists; 8 of the training labels are wrong."""
    folder.mkdir(parents=True)
    splits = generated.load()
    (folder / 'classes.json').write_text(json.dumps(splits.train.class_names))
    for name, examples, step in (('train', splits.train, 2), ('validation', splits.validation, 4)):
        (folder / name).mkdir()
        with open(folder / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['image', 'label'])
            for i, k in enumerate(range(0, len(examples), step)):
                Image.fromarray(examples.images[k]).save(folder / f'{name}/{i:02d}.png')
                label = int(examples.labels[k]) + (name == 'train' and i in WRONG)
                rows.writerow([f'{name}/{i:02d}.png', examples.class_names[label % 6]])
    return folder


def settings(images, **fields):
    """Config of the audit of `write_images`."""
    return smoke(**{
        'data.source': 'csv', 'data.root': str(images), 'data.train': str(images / 'train.csv'),
        'data.validation': str(images / 'validation.csv'), 'data.cache': 'off',
        'data.classes': str(images / 'classes.json'),
        'audit.folds': FOLDS, 'audit.duplicate_similarity': 0.0, 'audit.threshold_factor': 1000.0,
        'review.port': 0, 'review.reviewer': 'Ada', **fields})


def true_labels(train):
    """Of images of `write_images`, from the numbers in their names."""
    return np.array([int(bytes(name)[-6:-4]) // 12 for name in records.names(train)])


def predictions(config, folder, data):
    """Stands for `out_of_sample.by_folds`: networks that know the true labels, 0.8 to 0.95 sure."""
    train, size = data.train, data.train.num_classes
    sure = np.random.default_rng(0).uniform(0.8, 0.95, len(train))
    probabilities = np.repeat((1 - sure)[:, None] / (size - 1), size, axis=1)
    probabilities[np.arange(len(train)), true_labels(train)] = sure
    found = top_probabilities.reduce(probabilities, train.labels, config.audit.top_k)
    fold, _ = folds.fold_of(train.labels, size, config.audit.folds, config.seed)
    for number in range(config.audit.folds):
        images = np.flatnonzero(fold == number)
        place = folder / f'fold-{number}' / out_of_sample.HELD_OUT
        place.mkdir(parents=True, exist_ok=True)
        files.write_json(place / 'made_of.json', {
            'images': records.fingerprint(train.subset(images))})
        np.savez(place / '00000.npz', classes=found.classes[images],
                 probabilities=found.probabilities[images], given=found.given[images],
                 good=np.ones(len(images), bool))
    return found, fold


def write(config, folder, monkeypatch, pairs=((1, 2, 0.99), (3, 14, 0.985))):
    """Audits into `folder`, and writes pairs (index, index, cosine) as near-duplicates."""
    with monkeypatch.context() as patch:
        patch.setattr(out_of_sample, 'by_folds', predictions)
        result = audit.audit(config, folder)
    duplicates.write(folder, result.train, tuple(zip(*pairs, strict=True)))
    return result
