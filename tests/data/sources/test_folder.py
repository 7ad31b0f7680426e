import os

import numpy as np
import pytest

from bsce_tf.data import sources
from bsce_tf.errors import InputError


def _touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')


def _load(root, **fields):
    return sources.load('folder', root=str(root), **fields)


def test_the_class_is_the_folder_also_a_nested_one(tmp_path):
    _touch(tmp_path, 'shoes/boots/b.JPG', 'shoes/boots/a.png', 'shoes/s.webp', 'bags/x.jpeg')
    train, validation, test = _load(tmp_path)
    assert train.class_names == ('bags', 'shoes', 'shoes/boots')
    assert train.paths.tolist() == [b'bags/x.jpeg', b'shoes/s.webp', b'shoes/boots/a.png',
                                    b'shoes/boots/b.JPG']
    np.testing.assert_array_equal(train.labels, [0, 1, 2, 2])
    assert validation is None
    assert test is None


def test_train_and_val_beside_each_other_are_found(tmp_path):
    _touch(tmp_path, 'train/a/1.jpg', 'train/b/1.jpg', 'val/b/2.jpg', 'test/3.jpg')
    train, validation, test = _load(tmp_path, test='test')
    assert train.paths.tolist() == [b'train/a/1.jpg', b'train/b/1.jpg']
    assert validation.labels.tolist() == [1]
    assert validation.paths.tolist() == [b'val/b/2.jpg']
    assert test.labels.tolist() == [-1]
    assert test.paths.tolist() == [b'test/3.jpg']


def test_other_files_are_left_out_and_counted(tmp_path, caplog):
    _touch(tmp_path, 'a/1.jpg', 'a/Thumbs.db', 'a/._1.jpg', '.cache/x.jpg', 'b/2.jpg')
    with caplog.at_level('WARNING'):
        train = _load(tmp_path).train
    assert train.paths.tolist() == [b'a/1.jpg', b'b/2.jpg']
    assert '2 files left out' in caplog.text
    assert '1 hidden folders left out' in caplog.text


def test_an_empty_folder_is_a_class_without_images(tmp_path):
    _touch(tmp_path, 'a/1.jpg')
    (tmp_path / 'b').mkdir()
    train = _load(tmp_path).train
    assert train.class_names == ('a', 'b')
    assert train.counts.tolist() == [1, 0]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    _touch(tmp_path, 'elsewhere/1.jpg', 'data/a/2.jpg')
    os.symlink(tmp_path / 'elsewhere', tmp_path / 'data' / 'b')
    assert _load(tmp_path / 'data').train.class_names == ('a', 'b')
    os.symlink(tmp_path / 'data', tmp_path / 'data' / 'a' / 'again')
    with pytest.raises(InputError, match='again: a link to a folder that contains it'):
        _load(tmp_path / 'data')


def test_says_what_is_wrong_with_folders(tmp_path):
    with pytest.raises(InputError, match='data.root: empty'):
        _load('')
    with pytest.raises(InputError, match='none: no such folder'):
        _load(tmp_path, train='none')
    with pytest.raises(InputError, match='no image found'):
        _load(tmp_path)
    _touch(tmp_path, 'a/1.jpg', 'val/a/2.jpg', '3.jpg')
    with pytest.raises(InputError, match='data.validation: the folder .* lies in'):
        _load(tmp_path, validation='val')
    with pytest.raises(InputError, match='3.jpg, has no label'):
        _load(tmp_path)
    with pytest.raises(InputError, match="path '../"):
        _load(tmp_path / 'a', train='../val')
