"""Set-up of all tests: quiet TensorFlow, two logical CPU devices, no network."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras
import pytest
from tensorflow.python.framework import config as tf_config  # no public way to turn it off again

from bsce_tf.training import strategy

strategy.create('mirrored', 2)  # the devices have to be divided before TensorFlow first runs


# Files that take longest are begun first, so that no worker is left with one at the end.
SLOW = ('training', 'evaluation', 'audit', 'report', 'serving', 'experiments')


def pytest_collection_modifyitems(items):
    """Brings the tests of slow folders to the front."""
    items.sort(key=lambda item: item.path.parent.name not in SLOW)


@pytest.fixture(autouse=True)
def _defaults():
    """Gives every test the default dtype and seeds, and no determinism of a test before."""
    tf_config.disable_op_determinism()
    keras.config.set_floatx('float32')
    keras.config.set_dtype_policy('float32')
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope='module')
def _free_models():
    """Frees the models of a module when it is done."""
    yield
    keras.backend.clear_session()
