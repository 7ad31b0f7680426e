"""Runs that are killed and started again, in processes of their own."""

import json
import random
import shutil
import signal
import time

import numpy as np
import pytest

from bsce_tf.training import checkpoint
from bsce_tf.training.train import train
from tests.processes import SERVER
from tests.run_files import newest, results, rows_of
from tests.smoke import smoke


def config_of(**fields):
    """Two stages with everything that has a state: dropout, EMA, SWA, momentum, plateaus."""
    config = smoke(**{
        'epochs': 12, 'batch_size': 24, 'deterministic': True, 'model.dropout': 0.2,
        'averaging.ema': 0.9, 'averaging.swa_epochs': 3, 'averaging.batches': 2,
        'schedule.patience': 1, 'schedule.factor': 0.5, 'checkpoint.steps': 4, **fields})
    config.stages = ({}, {'epochs': 8, 'sampler.gamma': 1.0, 'optimizer.learning_rate': 0.005,
                          'averaging.statistics': 'estimated'})
    return config


def run(folder):
    """What a process does."""
    train(config_of(), folder)


def start(folder):
    process = SERVER.Process(target=run, args=(folder,))
    process.start()
    return process


def wait(process, condition):
    """Whether the condition came true while the process was alive."""
    while process.is_alive():
        if condition():
            return True
        time.sleep(0.001)
    return False


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole') / 'run'
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    return folder


def test_the_record_of_a_whole_run(whole):
    assert checkpoint.load(whole / 'checkpoints')[1].averaged == 3  # the last epochs of a stage
    rows = rows_of(whole)
    assert [row['epoch'] for row in rows if row['val_swa_mean_top1_error']] == ['12', '20']
    errors = [float(row['val_mean_top1_error']) for row in rows]
    best = json.loads((whole / 'best.json').read_text())['raw']
    assert (best['error'], best['epoch']) == (min(errors), 1 + errors.index(min(errors)))


@pytest.mark.parametrize('kills', [4, pytest.param(20, marks=pytest.mark.large)])
def test_killed_at_random_moments(whole, tmp_path, kills):
    folder, moments = tmp_path / 'run', random.Random(kills)
    done = writing = 0
    while done < kills:
        before = newest(folder)
        process = start(folder)
        assert wait(process, lambda before=before: newest(folder) > before or not before), (
            f'the run ended after {done} kills')
        if done % 2:  # while a checkpoint is written
            seen = wait(process, lambda: any((folder / 'checkpoints').glob('.*')))
        else:
            time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
        writing += done % 2 and seen
        done += 1
    assert writing
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    expected, found = results(whole), results(folder)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert not list(folder.glob('.*')) + list((folder / 'checkpoints').glob('.*'))


def test_sigterm_saves_and_the_run_goes_on(whole, tmp_path):
    folder = tmp_path / 'run'
    process = start(folder)
    assert wait(process, lambda: newest(folder) > 'step-0000000008.h5')
    process.terminate()
    process.join()
    assert process.exitcode == 1  # an uncaught PreemptedError; main.py turns it into its status
    saved = newest(folder)
    process = start(folder)
    process.join()
    assert newest(folder) > saved
    assert results(folder).keys() == results(whole).keys()
    np.testing.assert_equal(results(folder), results(whole))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, tmp_path, caplog):
    folder = tmp_path / 'run'
    shutil.copytree(whole, folder)
    last = folder / 'checkpoints' / newest(folder)
    data = bytearray(last.read_bytes())
    data[::997] = bytes(byte ^ 1 for byte in data[::997])
    last.write_bytes(data)
    run(folder)
    assert f'{last}: damaged' in caplog.text
    np.testing.assert_equal(results(folder), results(whole))
