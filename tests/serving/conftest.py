"""Runs and exports that all tests of this folder share: training costs more than they do."""

import pytest

from bsce_tf.serving import export
from bsce_tf.training.train import train
from tests import shared
from tests.smoke import smoke


@pytest.fixture(scope='session')
def runs(tmp_path_factory):
    """Folders of two trained runs whose crops differ."""
    def make(base):
        first = smoke(epochs=3, batch_size=16)
        second = smoke(epochs=2, batch_size=16, seed=1)
        second.image.update(size=28, scales=(30,), eval_scale=30, aspect='keep')
        for name, config in (('first', first), ('second', second)):
            train(config, base / name)

    base = shared.made(tmp_path_factory, 'served_runs', make)
    return [base / 'first', base / 'second']


@pytest.fixture(scope='session')
def single(runs, tmp_path_factory):
    """Folder of the first run's export: weights frozen, a bad image fails the request."""
    return _exported(tmp_path_factory, 'single', runs[:1], freeze=True)


@pytest.fixture(scope='session')
def pair(runs, tmp_path_factory):
    """Folder of an export of both runs: weights in variables, a bad image fails alone."""
    return _exported(tmp_path_factory, 'pair', runs, name='both', top_k=9, bad_image='empty')


def _exported(tmp_path_factory, place, runs, **fields):
    def make(folder):
        config = smoke()
        config.export.update(folder=str(folder), **fields)
        export.export(config, ','.join(map(str, runs)))

    folder = shared.made(tmp_path_factory, place, make)
    (model,) = folder.rglob('saved_model.pb')
    return model.parent
