"""Ctrl-C and SIGTERM, sent to processes of their own at moments that they choose."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.catalogue import pack, shards
from bsce_tf.data.examples import Examples
from bsce_tf.errors import PreemptedError
from bsce_tf.evaluation import partial, predict
from bsce_tf.termination import Terminated
from bsce_tf.training import averaging, checkpoint
from bsce_tf.training.loop import Loop
from bsce_tf.training.train import train
from bsce_tf.training.trainer import Trainer
from tests.processes import SERVER
from tests.run_files import results
from tests.smoke import smoke


def config_of():
    return smoke(**{'epochs': 3, 'deterministic': True, 'averaging.ema': 0.9, 'batch_size': 24,
                    'averaging.swa_epochs': 1, 'averaging.batches': 1})


def interrupt(after):
    """Sends this process Ctrl-C once, at a call after so many."""
    def call():
        call.number += 1
        if call.number == after:
            os.kill(os.getpid(), signal.SIGINT)
    call.number = 0
    return call


def before(owner, name, told):
    """Calls `told` whenever a method begins."""
    original = getattr(owner, name)

    def changed(*arguments, **options):
        told()
        return original(*arguments, **options)
    setattr(owner, name, changed)


MOMENTS = {
    'loading': (tf.random, 'set_seed', 1),  # of keras.utils.set_random_seed
    'tracing the first step': (Trainer, '_gradients', 1),
    'a step': (Loop, '_due', 9),
    'tracing validation': (Trainer, '_replica_test', 1),
    'validation of the average': (averaging, '_assign', 1),
    'statistics of the last average': (averaging.Statistics, 'estimate', 1)}


def run(folder, moment):
    """What a process does; the message goes beside the folder."""
    owner, name, after = MOMENTS[moment]
    before(owner, name, interrupt(after))
    try:
        train(config_of(), folder)
    except PreemptedError as error:
        folder.with_suffix('.txt').write_text(str(error))
        sys.exit(error.status)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole') / 'run'
    train(config_of(), folder)
    return folder


@pytest.mark.parametrize('moment', MOMENTS)
def test_ctrl_c_at_any_moment_keeps_what_is_done_and_says_how_to_go_on(whole, tmp_path, moment):
    folder = tmp_path / 'run'
    process = SERVER.Process(target=run, args=(folder, moment))
    process.start()
    process.join()
    assert process.exitcode == 130
    told = folder.with_suffix('.txt').read_text()
    assert told.startswith(f'{folder}: told to stop')
    assert 'the same command resumes' in told
    assert told.endswith('(Ctrl-C)')
    assert not list(folder.glob('.*'))
    saved = checkpoint.names(folder / 'checkpoints')[-1:]
    assert saved == {'loading': [], 'tracing the first step': ['step-0000000000.h5'],
                     'a step': ['step-0000000009.h5'],
                     'statistics of the last average': ['step-0000000018.h5']}.get(
                         moment, ['step-0000000006.h5'])
    if saved and saved[0] > 'step-0000000000.h5':
        train(config_of(), folder)
        np.testing.assert_equal(results(folder), results(whole))


def test_a_second_ctrl_c_ends_a_process_that_is_busy(tmp_path):
    code = ('import hashlib\n'
            'from bsce_tf.termination import Terminated\n'
            'with Terminated():\n'
            '    print("begun", flush=True)\n'  # then C without the interpreter's lock, as a step
            '    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)\n')
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'begun\n'
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == '\n'
        assert 'once more ends at once' in process.stderr.readline()
        time.sleep(0.3)
        assert process.poll() is None  # the hashing goes on
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert time.monotonic() - begin < 2


def test_a_second_ctrl_c_counts_for_the_block_around_as_well():
    code = ('import hashlib, os, signal\n'
            'from bsce_tf.termination import Terminated\n'
            'with Terminated():\n'
            '    with Terminated():\n'  # as a fold's run in an audit
            '        os.kill(os.getpid(), signal.SIGINT)\n'
            '    print("left", flush=True)\n'
            '    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)\n')
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'left\n'
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 130
        finally:
            process.kill()
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize(('status', 'cleared'), [(0, True), (2, True), (75, False), (130, False)])
def test_a_program_that_was_told_to_stop_does_not_wait_for_tensorflow(status, cleared):
    code = ('import atexit, sys\n'
            'from bsce_tf.cli import program\n'
            'atexit.register(print, "cleared")\n'
            f'program.main = lambda arguments: print("said") or {status}\n'
            'program.run()\n')
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert found.returncode == status
    assert found.stdout == 'said\n' + 'cleared\n' * cleared


def entered(told, number=None):
    """A block of `at_once` that a signal ends, though all within catches what an Exception is."""
    with told.at_once('here'):
        with contextlib.suppress(Exception):
            os.kill(os.getpid(), number)
        raise AssertionError('goes on')


def test_the_signal_says_the_status_and_handlers_come_back():
    own = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 75)):
        with Terminated() as told:
            assert not told()
            os.kill(os.getpid(), number)
            assert told()
            with pytest.raises(PreemptedError, match='here') as error:
                entered(told)
            assert error.value.status == status
        with Terminated() as told, pytest.raises(PreemptedError, match='here') as error:
            entered(told, number)
        assert error.value.status == status
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == own


def test_predict_keeps_its_rows(whole, tmp_path, monkeypatch):
    config = config_of()
    shutil.copytree(whole, tmp_path / 'run')
    told, rows = interrupt(2), partial.Rows
    append = rows.append

    def stopped(self, *arguments, **options):
        append(self, *arguments, **options)
        told()  # after the header, then after a batch

    monkeypatch.setattr(rows, 'append', stopped)
    with pytest.raises(PreemptedError, match=r'rows that are done stay in predictions.csv.partial'):
        predict.predict(config, tmp_path / 'run')
    kept = (tmp_path / 'run' / 'predictions.csv.partial').read_text().splitlines()
    assert len(kept) == 1 + 24
    monkeypatch.setattr(rows, 'append', append)
    predict.predict(config, tmp_path / 'run')
    assert (tmp_path / 'run' / 'predictions.csv').read_text().splitlines()[:25] == kept
    assert not list((tmp_path / 'run').glob('.*'))


def test_pack_keeps_its_shards(tmp_path, monkeypatch):
    for i in range(6):
        Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(tmp_path / f'{i}.png')
    examples = Examples(np.arange(6) % 2, ('a', 'b'), root=str(tmp_path),
                        paths=np.array([f'{i}.png'.encode() for i in range(6)]))
    told, check = interrupt(2), shards._check

    def checked(*arguments):
        told()
        check(*arguments)

    monkeypatch.setattr(shards, '_check', checked)
    with pytest.raises(PreemptedError, match='shards that are done stay'):
        pack.pack(examples, tmp_path / 'packed', 2, progress=False)
    assert len(list((tmp_path / 'packed').glob('shard-*.array_record'))) == 1
    pack.pack(examples, tmp_path / 'packed', 2, progress=False)
    assert told.number == 4  # the first shard was not written again
    assert (tmp_path / 'packed' / 'pack.json').exists()
    assert not list((tmp_path / 'packed').glob('.*'))
