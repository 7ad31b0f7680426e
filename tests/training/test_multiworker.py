"""Two workers on this machine, as processes of their own, against one process."""

import csv
import signal
import time

import numpy as np
import pytest
from PIL import Image

from bsce_tf.training import checkpoint
from bsce_tf.training.train import train
from tests.run_files import rows_of, state_of
from tests.smoke import smoke
from tests.workers import finish
from tests.workers import start as start_workers


def config_of(**fields):
    """48 validation images in batches of 20: the last one is short."""
    return smoke(**{
        'epochs': 2, 'batch_size': 20, 'averaging.ema': 0.9, 'averaging.swa_epochs': 1,
        'averaging.batches': 3, 'optimizer.clip_norm': 1.0, 'checkpoint.steps': 3, **fields})


def run(folder, fields):
    """What a process does."""
    train(config_of(**fields), folder)


def start(folder, workers, **fields):
    return start_workers(run, folder, workers, fields)


def weights_of(folder):
    return {name: value for name, value in state_of(folder).items()
            if name not in ('state', 'checksum')}


@pytest.fixture(scope='module')
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp('one') / 'run'
    assert finish(start(folder, 1)) == [0]
    return folder


def assert_alike(one, two):
    for a, b in zip(rows_of(one), rows_of(two), strict=True):
        for key in a:  # an image on the edge between two classes may fall to either side
            tolerance = {'abs': 1 / 48} if 'error' in key else {'rel': 5e-4}
            assert float(a[key] or 0) == pytest.approx(float(b[key] or 0), **tolerance), key
    a, b = weights_of(one), weights_of(two)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-2, atol=5e-4, err_msg=name)


def test_two_workers_train_as_one(one, tmp_path):
    folder = tmp_path / 'run'
    assert finish(start(folder, 2)) == [0, 0]
    assert_alike(one, folder)
    assert not list(tmp_path.glob('run.*'))


def test_a_lost_worker_ends_the_others_and_the_run_goes_on(one, tmp_path):
    folder = tmp_path / 'run'
    processes = start(folder, 2)
    while not checkpoint.names(folder / 'checkpoints')[1:]:  # the first is of step 0
        assert all(process.is_alive() for process in processes)
        time.sleep(0.005)
    processes[1].kill()
    assert finish(processes) == [1, -signal.SIGKILL]
    assert 'another worker stopped answering' in folder.with_suffix('.0').read_text()
    assert finish(start(folder, 2)) == [0, 0]
    assert_alike(one, folder)


def test_bad_images_of_all_workers_are_listed(tmp_path):
    for i in range(40):  # two batches: the last ten of each are the second worker's
        Image.fromarray(np.full((30, 30, 3), 6 * i, np.uint8)).save(tmp_path / f'{i}.png')
    bad = ['5.png', '35.png']
    for name in bad:
        (tmp_path / name).write_text('no image')
    for name, first in (('train', 6), ('validation', 0)):
        rows = ''.join(f'{i}.png,{i % 2}\n' for i in range(first, 40) if first == 0 or i != 35)
        (tmp_path / f'{name}.csv').write_text(f'image,label\n{rows}')
    folder = tmp_path / 'run'
    assert finish(start(folder, 2, **{
        'epochs': 1, 'averaging.swa_epochs': 0, 'averaging.ema': 0.0, 'data.source': 'csv',
        'data.root': str(tmp_path), 'data.train': str(tmp_path / 'train.csv'),
        'data.validation': str(tmp_path / 'validation.csv'), 'data.cache': 'off',
        'data.on_error': 'skip', 'data.max_bad_fraction': 0.1})) == [0, 0]
    with open(folder / 'bad_images.csv', newline='') as file:
        assert sorted(row['path'] for row in csv.DictReader(file)) == sorted(bad)


@pytest.mark.large
def test_sigterm_to_one_worker_stops_all(tmp_path):
    folder = tmp_path / 'run'
    processes = start(folder, 2, epochs=200)
    while not (folder / 'metrics.csv').exists():
        assert all(process.is_alive() for process in processes)
        time.sleep(0.005)
    processes[1].terminate()
    assert finish(processes) == [75, 75]
    assert 'saved at step' in folder.with_suffix('.0').read_text()
