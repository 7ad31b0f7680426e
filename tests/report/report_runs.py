"""Two small runs that the tests of the report share: one on generated images, one on files."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from bsce_tf.data.sources import generated
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.training import train
from tests import shared
from tests.smoke import smoke

HOSTILE = ('<script>alert(1)</script>', '"><img src=http://x.test/a onerror=alert(2)>',
           "O'Neil & sons", 'ünï © 商品', 'a' * 120, 'not in the test set')


@pytest.fixture(scope='session')
def config():
    return smoke(**{'epochs': 2, 'batch_size': 24, 'averaging.ema': 0.5})


@pytest.fixture(scope='session')
def trained(tmp_path_factory, config):
    """A run of two stages on generated images, with eval.json."""
    config.stages = ({}, {'epochs': 1, 'loss.name': 'sce', 'optimizer.learning_rate': 1e-3})

    def make(folder):
        train.train(config, folder / 'stages')
        evaluate(config, folder / 'stages')

    return shared.made(tmp_path_factory, 'stages', make) / 'stages'


@pytest.fixture(scope='session')
def hostile(tmp_path_factory):
    """A run of one epoch on files, without eval.json.

    Class names are hostile, one class is not in the test set and one test image is no image.
    """
    folder = tmp_path_factory.mktemp('hostile')
    splits = generated.load()
    for name, examples in (('train', splits.train.subset(np.arange(0, 144, 6))),
                           ('test', splits.test.subset(np.flatnonzero(splits.test.labels < 5)))):
        with open(folder / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['image', 'label'])
            for i, label in enumerate(examples.labels):
                path = f'<b>{name}</b>-{i:02d}.png'.replace('/', '')
                Image.fromarray(examples.images[i]).resize((90, 70)).save(folder / path)
                rows.writerow([path, HOSTILE[label]])
    (folder / '<b>test<b>-03.png').write_bytes(b'no image')
    (folder / 'classes.json').write_text(json.dumps(HOSTILE), encoding='utf-8')
    config = smoke(**{
        'batch_size': 8, 'data.source': 'csv', 'data.root': str(folder),
        'data.train': str(folder / 'train.csv'), 'data.test': str(folder / 'test.csv'),
        'data.classes': str(folder / 'classes.json'), 'data.validation_fraction': 0.3,
        'data.cache': 'off', 'data.on_error': 'stop'})
    train.train(config, folder / 'run')
    return folder / 'run'


@pytest.fixture
def stages(tmp_path, trained):
    """A copy of the first run, which the test may change."""
    shutil.copytree(trained, tmp_path / 'stages', ignore=shutil.ignore_patterns(
        'checkpoints', 'tensorboard', 'report.html'))
    return tmp_path / 'stages'
