"""Audits in parts, each a process of its own, against an audit of one process."""

import shutil

import pytest

from bsce_tf import division
from bsce_tf.audit import audit, out_of_sample, rounds
from bsce_tf.errors import InputError, InUseError
from bsce_tf.evaluation import collect
from tests.audit.cleaned_run import no_training, settings

RESULTS = (audit.ISSUES, audit.CLEANED, audit.SUMMARY, audit.SCORES)


def assert_same(one, two, names=RESULTS):
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_parts_have_folds_of_their_own(cleaned, tmp_path, monkeypatch, capsys):
    whole, folder = cleaned / 'round-1' / 'audit', tmp_path / 'audit'
    shutil.copytree(whole, folder)
    no_training(monkeypatch)
    monkeypatch.setattr(out_of_sample, '_train', lambda config, place, data: trained.append(place))
    for name in (*RESULTS, f'fold-0/{out_of_sample.HELD_OUT}', f'fold-1/{out_of_sample.HELD_OUT}'):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    trained = []
    assert audit.audit(settings(part='2/2'), folder) is None
    assert trained == [folder / 'fold-1']
    assert 'Not done yet: 1.' in capsys.readouterr().out
    assert not (folder / audit.SUMMARY).exists()
    assert audit.audit(settings(part='1/2'), folder) is not None
    assert trained == [folder / 'fold-1', folder / 'fold-0', folder / 'fold-0', folder / 'fold-1']
    assert_same(folder, whole)
    assert (folder / 'config.json').read_bytes() == (whole / 'config.json').read_bytes()
    assert not (folder / 'config_history.json').exists()
    with pytest.raises(InputError, match='part: found 1/3 of an audit with 2 folds; expected at'):
        audit.audit(settings(part='1/3'), folder)
    with pytest.raises(InputError, match='part: found 1/2 in rounds'):
        rounds.clean_train(settings(part='1/2'), tmp_path / 'rounds')


@pytest.mark.parametrize('order', [[3, 1, 2], [2, 2, 1, 3]])
def test_parts_of_an_audit_by_a_model_have_images_of_their_own(cleaned, tmp_path, monkeypatch,
                                                               order):
    monkeypatch.setattr(collect, '_PART', 20)  # of 72 images that the model has not seen
    config = settings(**{'audit.model': str(cleaned / 'round-1' / 'audit' / 'fold-0'),
                         'audit.duplicate_similarity': 0.8})
    audit.audit(config, tmp_path / 'whole')
    folder = tmp_path / 'parts'
    for number in order[:-1]:
        config.part = f'{number}/3'
        assert audit.audit(config, folder) is None
    config.part = f'{order[-1]}/3'
    audit.audit(config, folder)
    assert_same(folder, tmp_path / 'whole', (*RESULTS, 'near_duplicates.csv'))


def test_a_part_begins_beside_others_and_no_whole_audit_does(cleaned, tmp_path):
    config = settings(**{'audit.model': str(cleaned / 'round-1' / 'audit' / 'fold-0')})
    first, second = division.of('1/2').all
    with second.held(tmp_path / 'audit'):
        theirs = tmp_path / 'audit' / '.4194999-0123456789abcdef0123456789abcdef.scores.npz'
        theirs.touch()  # of a process on another machine
        config.part = '1/2'
        audit.audit(config, tmp_path / 'audit')
        assert theirs.exists()
        for part in ('2/2', ''):
            config.part = part
            with pytest.raises(InUseError):
                audit.audit(config, tmp_path / 'audit')
    audit.audit(config, tmp_path / 'audit')
    assert not theirs.exists()
