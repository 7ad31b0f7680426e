"""Rounds of cleaning, calls from Python and lists, of workdirs and files in a bucket."""

import csv
import json

import numpy as np
import pytest

import bsce_tf
from bsce_tf import cli
from bsce_tf.audit import rounds
from bsce_tf.data import clean_list, decisions, groups
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError, InUseError, RunError
from bsce_tf.remote import workdirs
from bsce_tf.training import train
from tests.remote.machines import in_bucket, machine, quick  # noqa: F401
from tests.smoke import smoke


def test_rounds_that_stop_go_on_on_another_machine(bucket, tmp_path, monkeypatch):
    flags = ['main.py', 'clean_train', '--config=smoke', '--config.epochs=1', '--config.steps=4',
             '--config.data.noise=0.3', '--config.audit.rounds=1', '--config.audit.folds=2',
             '--config.audit.duplicate_similarity=0.0',
             '--config.model.backbone=tests.smoke:NETWORK', '--workdir=s3://shop/rounds']

    def stopped(config, folder, *arguments, **more):
        if 'round-1' in str(folder) and 'audit' not in str(folder):
            raise RunError('stopped here')
        return trained(config, folder, *arguments, **more)

    trained = train.train
    with monkeypatch.context() as patch:
        patch.setattr(train, 'train', stopped)
        assert cli.main(flags) == 1
    assert 'round-1/audit/cleaned.csv' in in_bucket('rounds')
    assert 'round-1/train/config.json' not in in_bucket('rounds')
    machine(monkeypatch, tmp_path / 'two')
    assert cli.main(flags) == 0
    there = in_bucket('rounds')
    row = list(csv.DictReader(there[rounds.TABLE].decode().splitlines()))[1]
    listed = there['round-1/audit/cleaned.csv'].count(b'\n') - 1
    assert int(row['training_images']) == listed
    config = json.loads(there['round-1/train/config.json'])
    assert config['data']['clean'] == 's3://shop/rounds/round-1/audit/cleaned.csv'


def test_python_trains_loads_evaluates_and_exports_in_a_bucket(bucket, tmp_path, monkeypatch):
    first = bsce_tf.train(smoke(epochs=1, steps=2), 's3://shop/python')
    assert first.folder.is_relative_to(tmp_path / 'one')
    there = in_bucket('python')
    assert json.loads(there['eval.json']) == first.errors
    machine(monkeypatch, tmp_path / 'two')
    run = bsce_tf.load('s3://shop/python')
    assert run.folder.is_relative_to(tmp_path / 'two')
    assert (run.errors, run.history) == (first.errors, first.history)
    scale = run.config.image.size + 4
    errors = run.evaluate(**{'tta.scales': (scale,)})
    assert json.loads(in_bucket('python')['eval.json']) == errors
    assert list(errors['scales']) == [str(scale), 'tta']
    version = run.export().relative_to(run.folder)
    assert {f'{version}/saved_model.pb', f'{version}/variables/variables.index'} <= {
        *in_bucket('python')}
    with workdirs.held('s3://shop/python'), pytest.raises(InUseError):
        run.evaluate()
    with pytest.raises(InputError, match='expected the folder of a trained run|config.json'):
        bsce_tf.load('s3://shop/nothing')


def test_lists_may_lie_in_a_bucket(bucket, tmp_path, monkeypatch):
    names = [b'a.jpg', b'b, c.jpg', 'é.jpg'.encode(), b'd.jpg']
    found = Examples([0, 1, 0, 1], ('x', 'y'), paths=np.array(names), root=str(tmp_path))
    clean_list.write(tmp_path / 'clean_train.csv', found, [0, 1, 2])
    clean_list.write_audited(tmp_path / 'cleaned.csv', found, [0, 1], [1, 1])
    for name in ('clean_train.csv', 'cleaned.csv'):
        bucket(f'lists/{name}', (tmp_path / name).read_bytes())
    verified, audited = 's3://shop/lists', 's3://shop/lists/cleaned.csv'
    for text in (f'{verified},{audited}', f'{audited} , {verified}'):
        assert clean_list.places(text) == (verified, audited)
    chosen = clean_list.apply_all({'train': found, 'test': None}, verified)['train']
    assert chosen.paths.tolist() == names[:3]
    chosen = clean_list.apply(chosen, audited)
    assert (chosen.paths.tolist(), chosen.labels.tolist()) == (names[:2], [1, 1])
    row = decisions.Decision('d.jpg', 'y', 0, '', 'another', 'x', 'me', '2026-01-01T00:00:00Z')
    bucket('lists/decisions.jsonl', decisions.line(decisions.HEADER) + decisions.line(row))
    monkeypatch.setattr(decisions, 'unchanged', lambda *_: True)
    told = decisions.of(found, 's3://shop/lists/decisions.jsonl')
    assert (told.indices.tolist(), told.labels.tolist()) == ([3], [0])
    header = ','.join(groups.DUPLICATES)
    bucket('lists/duplicates.csv', f'{header}\n1,train,a.jpg,x\n1,train,d.jpg,y\n'.encode())
    together = groups.together(found, 's3://shop/lists/duplicates.csv')
    assert together[0] == together[3] != together[1]
    with pytest.raises(InputError, match='s3://shop/lists/none.csv: no such file'):
        clean_list.places('s3://shop/lists/none.csv')
    with pytest.raises(InputError, match="found 'ftp://shop/a.csv'; expected a path, or an addr"):
        clean_list.places('ftp://shop/a.csv')
