"""Whole runs with a head in parts or sampled, against the head as it always was."""

import math
import shutil

import h5py
import keras
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.heads import class_variable
from bsce_tf.training import checkpoint
from bsce_tf.training.train import train
from tests.run_files import rows_of
from tests.smoke import smoke
from tests.workers import finish, start


def config_of(**fields):
    return smoke(**{
        'epochs': 2, 'steps': 2, 'batch_size': 24, 'schedule.name': 'constant',
        'optimizer.weight_decay': 0.1, 'optimizer.clip_norm': 0.5, 'averaging.ema': 0.9,
        'model.backbone': 'tests.fields.probes:tiny', 'model.head': 'cosine',
        'loss.name': 'bsce_many', **fields})


def arrays_of(folder):
    _, state, arrays = checkpoint.load(folder / 'checkpoints')
    return arrays


def assert_alike(one, two, rtol=1e-3, atol=1e-4):
    for a, b in zip(rows_of(one), rows_of(two), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            tolerance = {'abs': 2 / 48} if 'error' in key else {'rel': 1e-3}
            assert float(a[key] or 'nan') == pytest.approx(
                float(b[key] or 'nan'), nan_ok=True, **tolerance), key
    for number, (a, b) in enumerate(zip(arrays_of(one), arrays_of(two), strict=True)):
        if a.shape != (6,):  # counts of the metric: an image may fall to either side
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=str(number))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole') / 'run'
    train(config_of(), folder)
    return folder


def run(folder, fields):
    """What a process of its own does."""
    class_variable._AT_ONCE = 200  # bytes: gathers a variable in pieces
    train(config_of(**fields), folder)


def test_a_run_in_four_parts_is_that_of_a_whole_head_and_goes_on_with_two_and_one(whole, tmp_path):
    parts = {'strategy': 'mirrored', 'replicas': 2, 'model.head_parts': 'replicas'}
    assert finish(start(run, tmp_path / 'run', 1, {**parts, 'replicas': 4, 'epochs': 1})) == [0]
    shutil.copytree(tmp_path / 'run', tmp_path / 'other')
    train(config_of(**parts), tmp_path / 'run')
    assert_alike(whole, tmp_path / 'run')
    train(config_of(**parts | {'model.head_parts': 'one'}), tmp_path / 'other')
    assert_alike(whole, tmp_path / 'other')
    with h5py.File(whole / 'best.weights.h5') as a, h5py.File(
            tmp_path / 'run' / 'best.weights.h5') as b:
        for key, value in a['layers/cosine_head/vars'].items():
            np.testing.assert_allclose(value[()], b['layers/cosine_head/vars'][key][()], rtol=1e-3,
                                       atol=1e-4)
    config = config_of(batch_size=72)
    error = evaluate(config, tmp_path / 'run')['mean_top1_error']
    assert error == pytest.approx(evaluate(config, whole)['mean_top1_error'], abs=0.05)


def test_a_sampled_run_goes_on_exactly(tmp_path):
    sampled = {'model.head_sample': 0.5, 'model.head': 'linear'}
    train(config_of(**sampled), tmp_path / 'one')
    train(config_of(**sampled, epochs=1), tmp_path / 'two')
    train(config_of(**sampled), tmp_path / 'two')
    for a, b in zip(arrays_of(tmp_path / 'one'), arrays_of(tmp_path / 'two'), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    row = rows_of(tmp_path / 'one')[-1]
    assert math.isnan(float(row['mean_top1_error']))
    assert 0 <= float(row['val_mean_top1_error']) <= 1


class Odd(keras.layers.Layer):
    """Has a variable that counts for nothing and a loss of its own."""

    def build(self, shape):
        self.add_weight(shape=(2,), name='unused')

    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(x)))
        return x


def odd(input_shape):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, Odd()(keras.layers.Conv2D(4, 5, 4)(inputs)))


def test_losses_of_layers_and_variables_without_a_gradient_go_with_parts(tmp_path):
    own = {'model.backbone': f'{__name__}:odd', 'model.head': 'linear', 'epochs': 1}
    parts = {'strategy': 'mirrored', 'replicas': 2, 'model.head_parts': 'replicas'}
    train(config_of(**own), tmp_path / 'whole')
    train(config_of(**own, **parts), tmp_path / 'parts')
    assert_alike(tmp_path / 'whole', tmp_path / 'parts')


def test_a_later_stage_that_cannot_be_sampled_is_told_before_the_first_step(tmp_path):
    config = config_of(**{'model.head_sample': 0.5})
    config.stages = ({}, {'augment.mixup': 0.2})
    with pytest.raises(InputError, match='MixUp or CutMix'):
        train(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_two_workers_hold_a_part_each_and_one_goes_on_with_the_whole(whole, tmp_path):
    parts = {'model.head_parts': 'replicas', 'strategy': 'multiworker'}
    assert finish(start(run, tmp_path / 'run', 2, {**parts, 'epochs': 1})) == [0, 0]
    shutil.copytree(tmp_path / 'run', tmp_path / 'other')
    assert finish(start(run, tmp_path / 'run', 2, parts)) == [0, 0]
    assert_alike(whole, tmp_path / 'run')
    train(config_of(), tmp_path / 'other')
    assert_alike(whole, tmp_path / 'other')


def test_two_workers_sample_as_two_devices_of_one(tmp_path):
    sampled = {'model.head_sample': 0.5, 'model.head': 'linear', 'averaging.swa_epochs': 1,
               'precision': 'mixed_bfloat16'}
    train(config_of(**sampled, strategy='mirrored', replicas=2), tmp_path / 'one')
    workers = start(run, tmp_path / 'two', 2, {**sampled, 'strategy': 'multiworker'})
    assert finish(workers) == [0, 0]
    assert_alike(tmp_path / 'one', tmp_path / 'two')
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ('one', 'two')]
    assert names[0] == names[1]


@pytest.mark.parametrize(('fields', 'message'), [
    ({'model.head_sample': 0.5, 'loss.name': 'ldam'},
     'model.head_sample: found 0.5 with loss.name ldam'),
    ({'model.head_sample': 0.5, 'optimizer.name': 'adamw'}, 'expected sgd'),
    ({'model.head_sample': 0.5, 'augment.mixup': 0.2}, 'MixUp or CutMix'),
    ({'model.head_sample': 0.5, 'model.freeze': ('head',)}, "'head' in model.freeze"),
    ({'model.head_sample': 0.5, 'model.head_parts': 'one', 'strategy': 'mirrored', 'replicas': 2},
     'model.head_parts: found one with model.head_sample = 0.5')], ids=str)
def test_what_cannot_be_sampled_is_said_in_a_line(fields, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        train(config_of(**fields), tmp_path / 'run')
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'run').exists()
