import json

import pytest
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.training import strategy

CLUSTER = {'worker': ['localhost:1', 'localhost:2']}


@pytest.mark.parametrize('text', [
    'localhost:1', '[]', '{"cluster": 3}', json.dumps({'cluster': CLUSTER}),
    json.dumps({'cluster': CLUSTER, 'task': {'type': 'worker', 'index': 2}}),
    json.dumps({'cluster': CLUSTER, 'task': {'type': 'worker', 'index': 'x'}}),
    json.dumps({'cluster': CLUSTER, 'task': {'type': 'evaluator', 'index': 0}}),
    json.dumps({'cluster': {'worker': ['a']}, 'task': {'type': 'worker', 'index': 0}}),
    json.dumps({'cluster': {**CLUSTER, 'ps': ['a:1']}, 'task': {'type': 'worker', 'index': 0}})])
def test_tf_config_that_cannot_be_used(monkeypatch, text):
    monkeypatch.setenv('TF_CONFIG', text)
    with pytest.raises(InputError, match=r'TF_CONFIG: found .*expected {"cluster"'):
        strategy.create('auto')


def test_multiworker_without_a_cluster(monkeypatch):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    with pytest.raises(InputError, match='neither TF_CONFIG nor the variables of a Slurm step'):
        strategy.create('multiworker')


def test_slurm_s_variables_become_a_cluster(monkeypatch):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    for name, value in {'PROCID': '2', 'STEP_NUM_TASKS': '4', 'STEP_NODELIST': 'gpu[2,10]',
                        'STEP_TASKS_PER_NODE': '2(x2)'}.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    assert strategy.slurm_config() == {
        'cluster': {'worker': ['gpu2:8888', 'gpu2:8889', 'gpu10:8888', 'gpu10:8889']},
        'task': {'type': 'worker', 'index': 2}}
    assert not strategy.is_chief('multiworker')


def test_one_worker_alone_is_no_cluster(monkeypatch):
    monkeypatch.setenv('TF_CONFIG', json.dumps(
        {'cluster': {'worker': ['localhost:1']}, 'task': {'type': 'worker', 'index': 0}}))
    devices = strategy.create('auto')
    assert isinstance(devices, tf.distribute.OneDeviceStrategy)
    assert strategy.workers_of(devices) == (0, 1)
    assert strategy.from_chief(devices, lambda: 41) == 41


def test_batch_and_replicas_must_fit():
    with pytest.raises(InputError, match='batch_size: found 7; expected a multiple of the 2'):
        strategy.check_batch(7, strategy.create('mirrored', 2))
    with pytest.raises(InputError, match="strategy: found 'tpu'"):
        strategy.create('tpu')
    with pytest.raises(InputError, match='replicas'):
        strategy.create('mirrored', 64)
