"""Audits and rounds of cleaning that are stopped, resumed or refused."""

import dataclasses
import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.audit import audit, folds, out_of_sample, rounds
from bsce_tf.data import prepare, sources
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError, PreemptedError
from bsce_tf.evaluation import collect, networks
from bsce_tf.models.network import Network
from bsce_tf.report.report import report
from bsce_tf.training import train, workdir
from tests.audit.cleaned_run import no_training, settings
from tests.report.report_page import check
from tests.run_files import rows_of


def test_a_folder_of_other_folds_is_refused(cleaned):
    folder = cleaned / 'round-1' / 'audit'
    with pytest.raises(InputError, match='audit.folds is 2 there and 3 now'):
        audit.audit(settings(**{'audit.folds': 3}), folder)
    with pytest.raises(InputError, match='strategy: an audit runs on one machine'):
        audit.audit(settings(strategy='multiworker'), folder)


def test_a_folder_of_other_images_is_refused_and_stays(cleaned, tmp_path, monkeypatch):
    folder = tmp_path / 'audit'
    shutil.copytree(cleaned / 'round-1' / 'audit', folder)
    before = (folder / 'data.json').read_bytes()
    load = audit.load

    def without_the_last(config):
        data, given, reviewed = load(config)
        part = data.train.subset(np.arange(len(data.train) - 1))
        return audit.Audited(data._replace(train=part), given[:-1], reviewed[:-1])

    monkeypatch.setattr(audit, 'load', without_the_last)
    with pytest.raises(InputError, match='data.json: begun with other training data: 144 images of '
                       '6 classes there, 143 of 6 now'):
        audit.audit(settings(), folder)
    assert (folder / 'data.json').read_bytes() == before


def _lighter(data):
    """The same labels and names; the training images have another pixel."""
    images = data.train.images.copy()
    images[:, 0, 0] ^= 1
    return data._replace(train=dataclasses.replace(data.train, images=images))


def test_an_image_that_was_replaced_is_noticed(cleaned, tmp_path, monkeypatch):
    folder = tmp_path / 'rounds'
    shutil.copytree(cleaned, folder)
    (folder / 'round-1' / 'train' / workdir.EVALUATION).unlink()
    load = prepare.load
    monkeypatch.setattr(prepare, 'load', lambda *args, **fields: _lighter(load(*args, **fields)))
    no_training(monkeypatch)
    with pytest.raises(InputError, match='round-0/train/data.json: begun with other images'):
        rounds.clean_train(settings(), folder)
    part = folder / 'round-1' / 'audit'
    with pytest.raises(InputError, match='audit/data.json: begun with other images'):
        audit.audit(settings(), part)
    train_set = _lighter(load('generated', noise=0.3)).train
    held_out = train_set.subset(np.flatnonzero(folds.fold_of(train_set.labels, 6, 2, 0)[0] == 0))
    with pytest.raises(InputError, match='held_out/made_of.json: contents differed'):
        out_of_sample._predict(settings(), workdir.read(part / 'fold-0'),
                               part / 'fold-0' / 'held_out', held_out, '')
    page = check(report(settings(), part), charts=False)
    assert 'Images cannot be shown: the training images or labels are others' in page.text


def _interrupted(audited):
    """The message of an audit that Ctrl-C stops, and how long it took."""
    begin = time.monotonic()
    with pytest.raises(PreemptedError) as error:
        audit.audit(settings(), audited)
    assert error.value.status == 130
    return str(error.value), time.monotonic() - begin


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(cleaned, tmp_path, monkeypatch):
    whole, folder = cleaned / 'round-1' / 'audit', tmp_path / 'audit'
    shutil.copytree(whole, folder)
    wanted = {name: (whole / name).read_bytes() for name in (
        audit.ISSUES, audit.CLEANED, audit.SUMMARY)}
    for path in (*(folder / name for name in (*wanted, audit.SCORES)),):
        path.unlink()
    shutil.rmtree(folder / 'fold-1' / 'held_out')
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    features = Network.features
    with monkeypatch.context() as patch:  # while the second network predicts
        patch.setattr(Network, 'features', lambda *arguments: (
            interrupt(), features(*arguments))[1])
        told, _ = _interrupted(folder)
    assert time.monotonic() - sent[0] < 2
    assert told == (f'{folder}: told to stop; networks and probabilities that are done stay, and '
                    'the same command resumes (Ctrl-C)')
    assert (folder / 'fold-0' / 'held_out' / '00000.npz').exists()
    assert not (folder / 'fold-1' / 'held_out' / '00000.npz').exists()
    with monkeypatch.context() as patch:  # before the network of a fold goes on
        patch.setattr(train.keras.utils, 'set_random_seed', lambda _: interrupt())
        told, _ = _interrupted(folder)
    assert told.startswith(f'{folder / "fold-0"}: told to stop before a step was done')
    assert not list(folder.rglob('.*'))
    trained = [(path, path.stat()) for path in folder.rglob('*.weights.h5')]
    assert len(trained) == 2
    audit.audit(settings(), folder)
    assert all(path.stat().st_mtime_ns == before.st_mtime_ns for path, before in trained)
    assert {name: (folder / name).read_bytes() for name in wanted} == wanted


def test_bad_images_are_counted_over_all_parts(cleaned, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, '_PART', 16)
    rng = np.random.default_rng(0)
    names = [f'{i}.png' for i in range(33)]
    for name in names[:-1]:
        pixels = rng.integers(0, 256, (30, 30, 3), np.uint8)
        tf.io.write_file(str(tmp_path / name), tf.io.encode_png(pixels))
    (tmp_path / names[-1]).write_bytes(b'no image')  # alone in the last part
    images = Examples(np.arange(33) % 6, 'abcdef', paths=np.array(names, 'S'), root=str(tmp_path))
    view = networks.load(cleaned / 'round-0' / 'train').view
    found = collect.arrays(
        tmp_path / 'parts', {}, images, [view], lambda batch: {'labels': batch.labels},
        tf.distribute.get_strategy(), 5, BadImages('skip', 0.05), 'test')
    np.testing.assert_array_equal(found['good'], [True] * 32 + [False])
    np.testing.assert_array_equal(found['labels'], images.labels)


def test_rounds_go_on_each_from_what_the_last_one_left(cleaned, monkeypatch):
    first = rows_of(cleaned / rounds.TABLE)
    assert [row['round'] for row in first] == ['0', '1']
    audited = json.loads((cleaned / 'round-1' / 'audit' / audit.SUMMARY).read_text())
    assert int(first[1]['training_images']) == 144 - audited['dropped']
    assert first[1]['noise'] == str(audited['noise'])
    for i, row in enumerate(first):
        told = json.loads((cleaned / f'round-{i}' / 'train' / workdir.EVALUATION).read_text())
        assert row['mean_top1_error'] == str(told['mean_top1_error'])
    # as if it had been killed while the second round was evaluated
    found = rounds.clean_train(settings(**{'audit.rounds': 2}), cleaned)
    (cleaned / 'round-2' / 'train' / workdir.EVALUATION).unlink()
    (cleaned / rounds.TABLE).unlink()
    assert rounds.clean_train(settings(**{'audit.rounds': 2}), cleaned) == found
    assert found[2]['training_images'] == found[1]['training_images'] - found[2]['dropped']
    text = (cleaned / 'rounds.md').read_text()
    assert text.splitlines()[-1].endswith(f'| {found[2]["mean_top1_error"]:.4f} |')
    second = prepare.load('generated', noise=0.3, clean=str(
        cleaned / 'round-2' / 'audit' / audit.CLEANED)).train
    given = sources.load('generated').train.subset(second.numbers)
    np.testing.assert_array_equal(second.images, given.images)
    no_training(monkeypatch)
    assert rounds.clean_train(settings(**{'audit.rounds': 2}), cleaned) == found
    with pytest.raises(InputError, match='audit.min_images_per_class is 5 there and 4 now'):
        rounds.clean_train(settings(**{'audit.min_images_per_class': 4}), cleaned)
