"""A round of cleaning on generated images, a third of whose labels are wrong, shared by tests."""

import pytest

from bsce_tf.audit import rounds
from bsce_tf.training import train
from tests import shared
from tests.smoke import smoke


def settings(**fields):
    return smoke(**{  # the small network learns too little to tell wrong labels
        'model.backbone': 'small_resnet',
        'audit.folds': 2, 'audit.top_k': 4, 'epochs': 6, 'batch_size': 12, 'data.noise': 0.3,
        'audit.duplicate_similarity': 0.0, 'audit.threshold_factor': 1000.0, **fields})


@pytest.fixture(scope='session')
def cleaned(tmp_path_factory):
    """Folder of one round of cleaning; the test of further rounds adds a second."""
    return shared.made(tmp_path_factory, 'cleaned', lambda folder: rounds.clean_train(
        settings(), folder / 'rounds')) / 'rounds'


def no_training(monkeypatch):
    def fail(*_):
        raise AssertionError('trained again')
    monkeypatch.setattr(train, 'train', fail)
