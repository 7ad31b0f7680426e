import types

import pytest

from bsce_tf.training.observers import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, 'perf_counter', lambda: now.seconds)
    return now


def step(shown, clock, number, seconds):
    clock.seconds += seconds
    shown.on_step(types.SimpleNamespace(epoch=0, step=number), 2.0, 8, 1.0)


def test_without_a_terminal_there_is_a_line_every_30_seconds(clock, capsys):
    shown = progress.Progress(3, 40, 12)
    shown.on_begin(types.SimpleNamespace(epoch=0))
    assert capsys.readouterr().out.startswith('epoch 1/3: preparing the first step')
    lines = []
    for number in range(1, 41):
        step(shown, clock, number, 4)
        lines += [(number, line) for line in capsys.readouterr().out.splitlines()]
    # The bar opens at the first step; every eighth step of 4 s is 32 s after the line before.
    assert [number for number, _ in lines] == [9, 17, 25, 33]
    assert lines[0][1] == ('epoch 1/3: step 9 of 40, loss 2.000, 2 images/s, 25% waiting for data')
    for number in range(1, 13):
        clock.seconds += 11
        shown.on_evaluated_batch(number)
    assert capsys.readouterr().out.splitlines() == [
        f'validation: batch {number} of 12' for number in (4, 7, 10)]
    shown.on_epoch({'epoch': 1, 'loss': 2.0, 'mean_top1_error': 0.5, 'val_mean_top1_error': 0.25,
                    'learning_rate': 0.1}, None, None)
    assert capsys.readouterr().out == (
        'epoch 1: loss 2.0000, training error 0.5000, validation error 0.2500, learning rate '
        '0.1; 2 images/s, 25% waiting for data\n')


def test_an_epoch_of_a_sampled_head_has_no_training_error(capsys):
    progress.Progress(3, 40, 12).on_epoch(
        {'epoch': 1, 'loss': 2.0, 'mean_top1_error': float('nan'), 'val_mean_top1_error': 0.25,
         'learning_rate': 0.1}, None, None)
    assert capsys.readouterr().out == (
        'epoch 1: loss 2.0000, validation error 0.2500, learning rate 0.1\n')
