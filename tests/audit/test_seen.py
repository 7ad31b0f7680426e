"""Which images a run was trained on: found again under other names, in packs, and nowhere else."""

import numpy as np
import pytest

from bsce_tf import recipes
from bsce_tf.audit.seen import seen
from bsce_tf.catalogue import hashes, pack
from bsce_tf.data import prepare, sources
from bsce_tf.training import workdir


@pytest.fixture
def pictures(tmp_path):
    """Folder of 24 files of two classes; no network is asked, so any bytes will do."""
    for i in range(24):
        path = tmp_path / 'd' / 'train' / 'ab'[i % 2] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'picture %d' % i)
    return tmp_path / 'd'


def of_folder(root):
    return sources.load('folder', root=str(root), cache='off').train


def run_on(folder, **data):
    """The `Run` of a folder that says it was trained on the training set of `data`."""
    config = recipes.defaults()
    config.data.update({'cache': 'off', **data})
    splits = prepare.load(**config.data, seed=config.seed)
    folder.mkdir()
    workdir.describe(folder, splits)
    return workdir.Run(folder, config, splits.train.class_names,
                       workdir.json_of(folder / workdir.DATA), None, {}), splits.train


def on_folder(folder, root):
    return run_on(folder, source='folder', root=str(root), validation_fraction=0.25)


def test_the_same_files_from_another_root_and_in_a_pack(pictures, tmp_path, caplog):
    run, train = on_folder(tmp_path / 'run', pictures)
    trained = {train.name(i).split('/')[-1] for i in range(len(train))}
    assert len(trained) == 18
    above = of_folder(pictures / 'train')
    pack.pack(above, tmp_path / 'pack' / 'train', 9, progress=False)
    for other in (above, sources.load('packed', root=str(tmp_path / 'pack')).train):
        assert not workdir.seen(run, other).any()  # by name
        assert [other.name(i).split('/')[-1] in trained for i in range(24)] == seen(
            run, other, tmp_path).tolist()
    assert not caplog.text


def test_other_files_of_equal_names_are_others_and_told(pictures, tmp_path, caplog):
    run, train = on_folder(tmp_path / 'run', pictures)
    for i in range(24):
        path = tmp_path / 'other' / 'train' / 'ab'[i % 2] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'PICTURE %d' % i)
    other = of_folder(tmp_path / 'other')
    assert workdir.seen(run, other).sum() == len(train)
    assert not seen(run, other, tmp_path).any()
    assert f'{len(train)} images have the names of images that ' in caplog.text


def test_unreadable_files_are_not_taken_for_each_other(pictures, tmp_path, monkeypatch):
    run, _ = on_folder(tmp_path / 'run', pictures)
    monkeypatch.setattr(hashes, 'digests', lambda examples, *_, **__: (
        np.zeros((len(examples), 2), 'uint64'), []))
    assert not seen(run, of_folder(pictures), tmp_path).any()


def test_what_cannot_be_compared_is_told(pictures, tmp_path, caplog):
    run, _ = on_folder(tmp_path / 'run', pictures)
    memory, train = run_on(tmp_path / 'memory', source='generated')
    assert seen(memory, train, tmp_path).all()
    assert not caplog.text
    assert not seen(memory, of_folder(pictures), tmp_path).any()
    assert 'trained on images in memory, and these are in files' in caplog.text
    assert not seen(run, train, tmp_path).any()
    assert 'trained on images in files, and these are in memory' in caplog.text
    examples = of_folder(pictures)
    (pictures / 'train' / 'a' / '0.png').rename(pictures / 'train' / 'a' / 'renamed.png')
    np.testing.assert_array_equal(seen(run, examples, tmp_path), workdir.seen(run, examples))
    assert 'cannot be read again' in caplog.text
    assert 'by their names alone' in caplog.text
