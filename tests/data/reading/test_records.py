import os
import shutil

import numpy as np
import pytest

from bsce_tf.catalogue import pack
from bsce_tf.data import sources
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records

COUNT = 12


@pytest.fixture
def files(tmp_path):
    for i in range(COUNT):
        (tmp_path / f'{i}.jpg').write_bytes(b'%02d' % i * (10 + i))
    return Examples(np.arange(COUNT) % 3, 'abc', paths=np.array(
        [f'{i}.jpg' for i in range(COUNT)], 'S'), root=str(tmp_path))


def _moved(examples, place):
    shutil.copytree(examples.root, place)
    for path in place.iterdir():
        os.utime(path, (1, 1))
    return Examples(examples.labels, 'abc', paths=examples.paths, root=str(place))


def test_contents_of_files_change_with_bytes_and_sizes_and_not_with_place_or_time(files, tmp_path):
    before = records.contents(files)
    copy = _moved(files, tmp_path / 'copy')
    assert records.contents(copy) == before
    (tmp_path / 'copy' / '7.jpg').write_bytes(b'xx' * 17)  # as long as it was
    assert records.contents(copy) != before
    (tmp_path / '3.jpg').unlink()
    assert records.contents(files) != before
    assert records.fingerprint(copy) == records.fingerprint(files)


def test_of_many_files_some_are_looked_at(files, tmp_path, monkeypatch):
    monkeypatch.setattr(records, '_READ', 2)  # the first and the last
    before = records.contents(files)
    (tmp_path / '5.jpg').write_bytes(b'xx' * 15)  # the same size
    assert records.contents(files) == before
    (tmp_path / '5.jpg').write_bytes(b'xx' * 16)
    assert records.contents(files) != before
    monkeypatch.setattr(records, '_SIZES', 3)  # 0, 5 and 11
    before = records.contents(files)
    (tmp_path / '4.jpg').write_bytes(b'')
    assert records.contents(files) == before
    (tmp_path / '5.jpg').write_bytes(b'')
    assert records.contents(files) != before


def test_contents_follow_the_choice_of_images(files):
    assert records.contents(files.subset([1, 2])) != records.contents(files.subset([1, 3]))
    assert records.contents(files.subset([1, 2])) == records.contents(files.subset([1, 2]))


def test_contents_of_packs_are_those_of_all_images(files, tmp_path, monkeypatch):
    monkeypatch.setattr(records, '_READ', 2)
    for name, changed in (('a', None), ('b', None), ('c', 5)):
        if changed is not None:
            (tmp_path / f'{changed}.jpg').write_bytes(b'xx' * 15)
        pack.pack(files, tmp_path / name / 'train', 5, progress=False)
    a, b, c = (sources.load('packed', root=str(tmp_path / name)).train for name in 'abc')
    assert records.contents(a) == records.contents(b) != records.contents(c)
    assert records.contents(a.subset([1, 2])) == records.contents(c.subset([1, 2]))


def test_contents_of_images_in_memory_are_every_pixel(monkeypatch):
    images = np.zeros((300, 2, 2, 1), np.uint8)
    before = records.contents(Examples([0] * 300, 'a', images=images))
    images[150, 1, 1] = 1
    changed = records.contents(Examples([0] * 300, 'a', images=images))
    assert changed != before
    monkeypatch.setattr(records, '_IN_MEMORY', 8)  # the first image and the last
    ends = records.contents(Examples([0] * 300, 'a', images=images))
    images[150, 1, 1] = 2
    assert records.contents(Examples([0] * 300, 'a', images=images)) == ends
    images[299, 1, 1] = 2
    assert records.contents(Examples([0] * 300, 'a', images=images)) != ends
