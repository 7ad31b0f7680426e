"""Two trained runs, unlike in size, scales and seed, and the generated test set as PNG files."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from bsce_tf.data.sources import generated
from bsce_tf.training.train import train
from tests import shared
from tests.smoke import smoke


@pytest.fixture(scope='session')
def config():
    """Of the first run."""
    return smoke(epochs=3, batch_size=24)


@pytest.fixture(scope='session')
def runs(tmp_path_factory, config):
    """Folders of the two runs; tests that change them take copies."""
    def make(folder):
        train(config, folder / 'a')
        train(smoke(**{'epochs': 2, 'batch_size': 24, 'seed': 5, 'image.size': 20,
                       'image.scales': (21, 25, 23), 'image.eval_scale': 25,
                       'image.aspect': 'keep', 'loss.name': 'ce'}), folder / 'b')

    folder = shared.made(tmp_path_factory, 'runs', make)
    return folder / 'a', folder / 'b'


@pytest.fixture(scope='session')
def pictures(tmp_path_factory):
    """Folder of test/00.png …, lists of them (test.csv, train.csv) and classes.json."""
    folder = tmp_path_factory.mktemp('pictures')
    splits = generated.load()
    (folder / 'classes.json').write_text(json.dumps(splits.test.class_names))
    for name, examples in (('train', splits.train.subset(np.arange(0, 144, 8))),
                           ('test', splits.test)):
        (folder / name).mkdir()
        with open(folder / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['image', 'label'])
            for i in range(len(examples)):
                path = f'{name}/{i:02d}.png'
                Image.fromarray(examples.images[i]).save(folder / path)
                rows.writerow([path, examples.class_names[examples.labels[i]]])
    return folder


@pytest.fixture
def on_files(config, pictures):
    """Config whose test set are the files, the same images as the generated ones."""
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({
        'data.source': 'csv', 'data.root': str(pictures), 'data.train': str(pictures / 'train.csv'),
        'data.test': str(pictures / 'test.csv'), 'data.classes': str(pictures / 'classes.json'),
        'data.validation_fraction': 0.4, 'data.cache': 'off'})
    return config
