"""Set-up of all tests: quiet TensorFlow, two logical CPU devices, no network."""

import gc
import os
import unittest.mock

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as main.py
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import pytest

# TensorFlow is imported where it is used: the process that only hands tests to others does without.

# Files that take longest are begun first, so that no worker is left with one at the end.
SLOW = ('training', 'evaluation', 'audit', 'report', 'serving', 'experiments', 'heads',
        'backbones')


def pytest_xdist_auto_num_workers(config):
    """One more than cores: some tests wait for processes of their own."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_sessionstart(session):
    """Divides the CPU into two devices, before TensorFlow first runs."""
    if not session.config.pluginmanager.hasplugin('dsession'):  # of xdist, which runs no test
        gc.disable()
        from bsce_tf.training import strategy

        strategy.create('mirrored', 2)


def pytest_collection_finish():
    """Lets Python search for garbage, but not in what is imported: a trace takes a sixth less."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(items):
    """Brings the files of slow folders to the front: one of each folder, then the next of each.

    Files of one folder wait for what is made once for all of them.
    """
    numbers = {}  # {file: its number in its folder}
    for item in items:
        numbers.setdefault(item.path, sum(path.parent == item.path.parent for path in numbers))
    last = len(items)
    items.sort(key=lambda item: numbers[item.path] if item.path.parent.name in SLOW else last)


@pytest.fixture(autouse=True)
def _defaults():
    """Gives every test the default dtype and seeds, and no determinism of a test before."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework import config  # no public way to turn determinism off again

    config.disable_op_determinism()
    keras.config.set_floatx('float32')
    keras.config.set_dtype_policy('float32')
    # TensorFlow's own seed, which hardly anything uses, is set once a module: to set it drops all
    # kernels and functions that are ready to run, which a model takes seconds to make again.
    with unittest.mock.patch.object(tf.random, 'set_seed'):
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope='module')
def _module():
    """Begins a module with the same seeds, and frees its models when it is done."""
    import keras
    import tensorflow as tf

    tf.random.set_seed(0)
    yield
    keras.utils.clear_session(free_memory=False)  # Python finds the garbage when there is enough


@pytest.fixture(scope='module')
def bucket():
    """Function (key, bytes) that puts an object into s3://shop, on a server of this machine."""
    from tests import servers  # its imports take a second

    with servers.s3() as put:
        yield put


@pytest.fixture
def web():
    """A `servers.Web`."""
    from tests import servers

    with servers.web() as found:
        yield found
