"""Set-up of all tests: quiet TensorFlow, two logical CPU devices, no network."""

import os
import unittest.mock

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras
import pytest
import tensorflow as tf
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
    # TensorFlow's own seed, which hardly anything uses, is set once a module: to set it drops all
    # kernels and functions that are ready to run, which a model takes seconds to make again.
    with unittest.mock.patch.object(tf.random, 'set_seed'):
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope='module')
def _module():
    """Begins a module with the same seeds, and frees its models when it is done."""
    tf.random.set_seed(0)
    yield
    keras.backend.clear_session()
