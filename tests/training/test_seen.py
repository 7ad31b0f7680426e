"""Which images a run was trained on: found again under other names, in packs, and nowhere else."""

import os

import numpy as np
import pytest

from bsce_tf.catalogue import hashes, pack
from bsce_tf.data import sources
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.training import workdir


@pytest.fixture
def pictures(tmp_path):
    """Folder of six files of two classes; the network is not asked, so any bytes will do."""
    for i in range(6):
        path = tmp_path / 'd' / 'train' / 'ab'[i % 2] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'picture %d' % i)
    return tmp_path / 'd'


def folder_of(root):
    return Examples(*_listed(root), root=str(root))


def _listed(root):
    paths = sorted(os.path.relpath(path, root).encode() for path in root.rglob('*.png'))
    return [path.split(b'/')[-2] == b'b' for path in paths], ('a', 'b'), None, paths


def run_on(folder, examples, forget=()):
    """The `Run` of a folder that says it was trained on `examples`."""
    folder.mkdir()
    workdir.describe_images(folder, examples)
    workdir.describe(folder, Splits(examples, examples, None))
    data = workdir.json_of(folder / workdir.DATA)
    return workdir.Run(folder, None, examples.class_names,
                       {key: value for key, value in data.items() if key not in forget}, None, {})


def test_the_same_files_from_another_root(pictures, tmp_path, caplog):
    run = run_on(tmp_path / 'run', folder_of(pictures))
    above = folder_of(pictures / 'train')
    assert set(above.paths.tolist()).isdisjoint(folder_of(pictures).paths.tolist())
    assert workdir.seen(run, above).all()
    (pictures / 'train' / 'a' / 'new.png').write_bytes(b'another')
    assert workdir.seen(run, folder_of(pictures)).sum() == 6
    assert not caplog.text


def test_other_files_of_equal_names_are_others_and_told(pictures, tmp_path, caplog):
    run = run_on(tmp_path / 'run', folder_of(pictures))
    for i, path in enumerate(sorted(pictures.rglob('*.png'))[:4]):
        path.write_bytes(b'PICTURE %d' % i)
    kept = tmp_path / 'hashes.bin'
    assert workdir.seen(run, folder_of(pictures), kept).sum() == 2
    assert kept.stat().st_size
    assert '4 images have the names of images that it was trained on, but other b' in caplog.text


def test_a_pack_holds_the_same_images(pictures, tmp_path):
    pack.pack(folder_of(pictures / 'train'), tmp_path / 'pack' / 'train', 4, progress=False)
    packed = sources.load('packed', root=str(tmp_path / 'pack')).train
    run = run_on(tmp_path / 'run', folder_of(pictures))
    assert workdir.seen(run, packed).all()
    run = run_on(tmp_path / 'of_pack', packed.subset([1, 2]))
    assert workdir.seen(run, folder_of(pictures)).sum() == 2


def test_unreadable_files_are_not_taken_for_each_other(pictures, tmp_path):
    (pictures / 'train' / 'a' / '0.png').unlink()
    examples = folder_of(pictures)
    first = examples.paths[0].decode()
    (pictures / first).rename(pictures / 'elsewhere')
    run = run_on(tmp_path / 'run', examples)
    assert workdir.seen(run, examples).tolist() == [False] + [True] * 4


def test_what_cannot_be_compared_is_told(pictures, tmp_path, caplog):
    examples = folder_of(pictures)
    old = run_on(tmp_path / 'old', examples, forget=('decoded',))
    (tmp_path / 'old' / workdir.CONTENTS).unlink()
    assert workdir.seen(old, examples).all()
    assert 'by their names alone' in caplog.text
    pixels = Examples([0, 1], ('a', 'b'), images=np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    run = run_on(tmp_path / 'run', pixels)
    assert not (tmp_path / 'run' / workdir.CONTENTS).exists()
    assert workdir.seen(run, pixels).all()
    assert 'cannot be told' not in caplog.text
    assert not workdir.seen(run, examples).any()
    assert 'trained on images in memory, and these are in files: ' in caplog.text
    assert not workdir.seen(run_on(tmp_path / 'files', examples), pixels).any()
    assert 'trained on images in files, and these are in memory: ' in caplog.text


def test_a_run_that_is_resumed_reads_nothing_again(pictures, tmp_path, monkeypatch):
    examples = folder_of(pictures)
    run_on(tmp_path / 'run', examples)
    monkeypatch.setattr(hashes, 'digests', lambda *_: pytest.fail('read again'))
    workdir.describe_images(tmp_path / 'run', examples)
