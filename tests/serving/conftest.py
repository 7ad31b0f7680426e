"""Runs and exports that all tests of this folder share: training costs more than they do."""

import pytest

from bsce_tf.serving import export
from bsce_tf.training.train import train
from tests.smoke import smoke


@pytest.fixture(scope='session')
def runs(tmp_path_factory):
    """Folders of two trained runs whose crops differ."""
    base = tmp_path_factory.mktemp('runs')
    first = smoke(epochs=3, batch_size=16)
    second = smoke(epochs=2, batch_size=16, seed=1)
    second.image.update(size=28, scales=(30,), eval_scale=30, aspect='keep')
    for name, config in (('first', first), ('second', second)):
        train(config, base / name)
    return [base / 'first', base / 'second']


@pytest.fixture(scope='session')
def single(runs):
    """Folder of the first run's export: weights frozen, a bad image fails the request."""
    config = smoke()
    config.export.freeze = True
    return export.export(config, runs[0])


@pytest.fixture(scope='session')
def pair(runs, tmp_path_factory):
    """Folder of an export of both runs: weights in variables, a bad image fails alone."""
    config = smoke()
    config.export.update(folder=str(tmp_path_factory.mktemp('pair')), name='both', top_k=9,
                         bad_image='empty')
    return export.export(config, ','.join(map(str, runs)))
