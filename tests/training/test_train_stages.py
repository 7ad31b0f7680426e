"""Runs of several stages."""

import shutil

import numpy as np
import pytest

from bsce_tf.data.examples import Examples, Splits
from bsce_tf.training import build, checkpoint, stages, workdir
from bsce_tf.training.train import train
from tests.run_files import assert_same, rows_of, state_of
from tests.smoke import smoke


def test_stages_follow_each_other(tmp_path):
    config = smoke(epochs=2)
    config.stages = ({}, {'epochs': 1, 'image.size': 28, 'image.scales': (30,), 'steps': 3,
                          'image.eval_scale': 30, 'sampler.gamma': 1.0,
                          'model.freeze': ('stem', 'block1'), 'loss.name': 'sce',
                          'schedule.name': 'cosine', 'optimizer.learning_rate': 0.004})
    train(config, tmp_path)
    rows = rows_of(tmp_path)
    assert [(row['stage'], row['epoch']) for row in rows] == [('0', '1'), ('0', '2'), ('1', '3')]
    # the last of three steps of half a cosine
    assert float(rows[2]['learning_rate']) == pytest.approx(0.004 * (1 + np.cos(2 / 3 * np.pi)) / 2)
    _, state, _ = checkpoint.load(tmp_path / 'checkpoints')
    assert (state.stage, state.epoch, state.total) == (1, 1, 7)


def test_a_stage_ends_early_and_goes_on_exactly_as_it_was(tmp_path):
    config = smoke(**{'epochs': 9, 'deterministic': True, 'checkpoint.keep': 9,
                      'schedule.min_delta': 1.0, 'schedule.stop_patience': 2,
                      'schedule.patience': 1, 'schedule.min_rate': 0.004})
    config.stages = ({}, {'schedule.stop_patience': 1})
    train(config, tmp_path / 'whole')
    rows = rows_of(tmp_path / 'whole')
    # No error is lower by 1 than the first: two epochs more, and one more in the second stage.
    assert [row['stage'] for row in rows] == ['0', '0', '0', '1', '1']
    assert [float(row['learning_rate']) for row in rows] == [0.01, 0.01, 0.004, 0.01, 0.01]
    shutil.copytree(tmp_path / 'whole', tmp_path / 'killed')
    for name in checkpoint.names(tmp_path / 'killed' / 'checkpoints'):
        if name > checkpoint.name_of(4):  # after the second epoch
            (tmp_path / 'killed' / 'checkpoints' / name).unlink()
    train(config, tmp_path / 'killed')
    assert rows_of(tmp_path / 'killed') == rows
    assert_same(state_of(tmp_path / 'killed'), state_of(tmp_path / 'whole'))


def test_a_later_stage_is_checked_with_a_small_head(monkeypatch):
    """With millions of classes, a second head would take GBs beside that of the first stage."""
    built = []
    monkeypatch.setattr(build, 'make_model', lambda config, classes, channels: built.append(
        (config.image.size, classes, channels)))
    config = smoke(steps=1)
    config.stages = ({}, {'image.size': 28}, {'image.size': 28, 'epochs': 1})
    classes = 5000
    images = Examples(np.arange(classes), tuple(map(str, range(classes))),
                      images=np.zeros((classes, 1, 1, 1), np.uint8))
    build.check_stages(stages.resolve(config), Splits(images, images, None))
    assert built == [(28, 1000, 1)]


def test_a_stage_begins_with_the_best_weights_before_it(tmp_path):
    config = smoke(epochs=2)
    config.stages = ({}, {'epochs': 1, 'steps': 1, 'optimizer.learning_rate': 1e-30,
                          'model.freeze': ('stem*', 'block*')})
    train(config, tmp_path)
    best = workdir.read(tmp_path)
    rows = rows_of(tmp_path)
    assert float(rows[2]['val_mean_top1_error']) == pytest.approx(best.best['error'])
    assert best.best['stage'] == 0
