import os

import numpy as np
import pytest

from bsce_tf.data import prepare, sources
from bsce_tf.data.listing import walk
from bsce_tf.data.sources import folder
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


def _split_paths(splits):
    return {split: examples and examples.paths.tolist()
            for split, examples in splits._asdict().items()}


@pytest.mark.parametrize(('train', 'validation', 'test'), [
    ('train', 'val', 'test'), ('Train', 'Val', 'Test'), ('TRAINING', 'VALIDATION', 'TESTING'),
    ('training', 'dev', 'test'), ('train', 'Valid', None), ('TRAIN', None, 'test'),
    ('train', None, None)])
def test_the_usual_folders_are_the_sets_in_any_case(tmp_path, train, validation, test):
    _touch(tmp_path, f'{train}/a/1.jpg', f'{train}/b/1.jpg')
    if validation:
        _touch(tmp_path, f'{validation}/b/2.jpg')
    if test:
        _touch(tmp_path, f'{test}/a/3.jpg')
    splits = _load(tmp_path)
    assert splits.train.class_names == ('a', 'b')
    assert _split_paths(splits) == {
        'train': [f'{train}/a/1.jpg'.encode(), f'{train}/b/1.jpg'.encode()],
        'validation': validation and [f'{validation}/b/2.jpg'.encode()],
        'test': test and [f'{test}/a/3.jpg'.encode()]}


def test_without_a_validation_folder_a_part_of_training_is_put_aside(tmp_path):
    _touch(tmp_path, *(f'TRAIN/{k}/{i}.jpg' for k in 'ab' for i in range(10)), 'TEST/a/0.jpg')
    splits = prepare.load('folder', root=str(tmp_path), validation_fraction=0.2)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (16, 4, 1)
    assert all(path.startswith(b'TRAIN/') for part in splits[:2] for path in part.paths.tolist())


def test_named_folders_go_before_the_usual_ones(tmp_path):
    _touch(tmp_path, 'shop/fit/a/1.jpg', 'shop/val/a/2.jpg', 'shop/hold/a/3.jpg', 'test/a/4.jpg')
    assert _split_paths(_load(tmp_path, train='shop/fit', test='shop/hold')) == {
        'train': [b'shop/fit/a/1.jpg'], 'validation': [b'shop/val/a/2.jpg'],
        'test': [b'shop/hold/a/3.jpg']}
    _touch(tmp_path / 'shop', 'train/a/5.jpg')
    splits = _load(tmp_path / 'shop', test='hold')
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1, 1, 1)


def test_a_test_folder_without_subfolders_has_no_labels(tmp_path):
    _touch(tmp_path, 'train/a/1.jpg', 'test/3.jpg')
    test = _load(tmp_path).test
    assert test.labels.tolist() == [-1]
    assert test.paths.tolist() == [b'test/3.jpg']


@pytest.mark.parametrize(('names', 'found'), [
    (('train/a', 'Train/a'), "both 'Train' and 'train' are names of a train set"),
    (('train/a', 'val/a', 'valid/a'), "both 'val' and 'valid' are names of a validation set"),
    (('bags', 'shoes', 'test'), "found 'test' beside 'bags' .2 such folders., so it is unclear"),
    (('bags', 'car', 'train'), "found 'train' beside 'bags'"),
    (('val/a', 'Test/a'), "found 'Test', 'val' and no training set"),
    (('shop/train/a', 'shop/test/a'), "shop: 'train' and 'test' look like a training and a test"),
    (('bags/Train', 'bags/Val', 'hats'), "bags: 'Train' and 'Val' look like"),
    (('seg_train/a', 'seg_test/a'), "'seg_train' and 'seg_test' look like"),
    (('train2017/a', 'val2017/a'), "'train2017' and 'val2017' look like"),
    (('train/shop/train/a', 'train/shop/val/a', 'test/b'), "shop: 'train' and 'val' look like")])
def test_what_may_be_sets_or_classes_is_refused(tmp_path, names, found):
    _touch(tmp_path, *(f'{name}/1.jpg' for name in names))
    with pytest.raises(InputError, match=found):
        _load(tmp_path)


def test_a_dot_takes_all_folders_as_classes_whatever_their_names(tmp_path):
    _touch(tmp_path, 'bus/1.jpg', 'train/1.jpg', 'test/1.jpg')
    splits = _load(tmp_path, train='.')
    assert splits.train.class_names == ('bus', 'test', 'train')
    assert splits[1:] == (None, None)


def test_names_that_only_resemble_those_of_sets_are_classes(tmp_path):
    _touch(tmp_path, 'toy train/1.jpg', 'test strips/1.jpg', 'trainers/1.jpg', 'testers/1.jpg',
           'dresses/evening/1.jpg')
    assert len(_load(tmp_path).train.class_names) == 5


def test_folders_beside_the_sets_are_left_out_and_told(tmp_path, caplog):
    _touch(tmp_path, 'train/a/1.jpg', 'val/a/1.jpg', 'labels/list.txt')
    with caplog.at_level('WARNING'):
        assert _load(tmp_path).train.class_names == ('a',)
    assert 'left out 1 other folders (labels)' in caplog.text


def test_hidden_and_system_files_are_left_out_and_counted_in_one_line(tmp_path, caplog):
    _touch(tmp_path, 'a/1.jpg', 'a/Thumbs.db', 'a/._1.jpg', 'a/.DS_Store', '.cache/x.jpg',
           'b/2.jpg', 'b/notes.TXT', 'b/README', 'a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg',
           '__MACOSX/a/1.jpg', 'lost+found/9.jpg', '#recycle/b/2.jpg', '$RECYCLE.BIN/S-1/3.jpg',
           'b/.ipynb_checkpoints/2.jpg', 'System Volume Information/1.jpg')
    with caplog.at_level('WARNING'):
        train = _load(tmp_path).train
    assert train.class_names == ('a', 'b')
    assert train.paths.tolist() == [b'a/1.jpg', b'b/2.jpg']
    assert [record.getMessage() for record in caplog.records] == [
        f'{tmp_path}: left out 8 hidden or system folders (#recycle, $RECYCLE.BIN, .cache, '
        '.ipynb_checkpoints, @eaDir, …), 2 hidden files, 3 files without the ending of an image '
        '(.db, .txt, no ending).']


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
        _load(tmp_path, train='.')
    with pytest.raises(InputError, match="path '../"):
        _load(tmp_path / 'a', train='../val')


@pytest.fixture
def indexed(tmp_path, monkeypatch):
    """A tree that did not change lately, a function that loads it, and the folders it walked."""
    root, walked = tmp_path / 'shop', []
    _touch(root, 'train/a/1.jpg', 'train/a/deep/2.jpg', 'train/b/3.jpg', 'val/b/4.jpg')
    (root / 'train' / 'empty').mkdir()
    monkeypatch.setattr(folder, '_LARGE', 1)
    monkeypatch.setattr(folder, '_TICK', -10**12)
    real = walk.walk

    def walks(top, *states):
        walked.append(os.path.basename(top))
        return real(top, *states)
    monkeypatch.setattr(walk, 'walk', walks)

    def load():
        walked.clear()
        return _load(root, cache=str(tmp_path / 'cache'))
    return root, load, walked


def test_an_unchanged_tree_is_not_walked_again(indexed):
    root, load, walked = indexed
    first = load()
    assert walked == ['train', 'val']
    again = load()
    assert walked == []
    for found, expected in zip(again[:2], first[:2], strict=True):
        assert found.paths.tolist() == expected.paths.tolist()
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.class_names == expected.class_names
    sources.load('folder', root=str(root), cache='off')
    assert walked == ['train', 'val']


def test_what_an_index_leaves_out_is_told_at_every_start(indexed, caplog):
    root, load, walked = indexed
    _touch(root, 'train/b/@eaDir/3.jpg', 'train/b/.3.jpg', 'val/b/note.txt')
    load()
    first = [record.getMessage() for record in caplog.records]
    assert [text.partition(': ')[2] for text in first] == [
        'left out 1 hidden or system folders (@eaDir), 1 hidden files.',
        'left out 1 files without the ending of an image (.txt).']
    caplog.clear()
    load()
    assert walked == []
    assert [record.getMessage() for record in caplog.records] == first


@pytest.mark.parametrize('change', ['add', 'deep', 'remove', 'rename', 'class', 'link', 'restored'])
def test_a_changed_tree_is_walked_again(indexed, change):
    root, load, walked = indexed
    train = root / 'train'
    if change == 'link':
        (train / 'other').symlink_to(root / 'val' / 'b')
    load()
    times = os.stat(train / 'b')
    if change in ('add', 'restored'):
        _touch(train, 'b/5.jpg')
    if change == 'restored':  # as tar and rsync set times of folders
        os.utime(train / 'b', ns=(times.st_atime_ns, times.st_mtime_ns))
        assert os.stat(train / 'b').st_mtime_ns == times.st_mtime_ns
    if change == 'deep':
        _touch(train, 'a/deep/5.jpg')
    if change == 'remove':
        (train / 'a' / '1.jpg').unlink()
    if change == 'rename':
        (train / 'a').rename(train / 'z')
    if change == 'class':
        (train / 'new').mkdir()
    if change == 'link':
        (root / 'elsewhere').mkdir()
        _touch(root, 'elsewhere/6.jpg')
        (train / 'other').unlink()
        (train / 'other').symlink_to(root / 'elsewhere')
    found = load().train
    assert walked[0] == 'train'
    expected = _load(root, cache='off').train
    assert found.paths.tolist() == expected.paths.tolist()
    assert found.class_names == expected.class_names
    load()
    assert walked == []


def test_a_tree_that_has_just_changed_gets_no_index(indexed, monkeypatch):
    """A change within the same tick of the clock would not be seen."""
    root, load, walked = indexed
    monkeypatch.setattr(folder, '_TICK', 2 * 10**9)
    load()
    load()
    assert walked == ['train', 'val']


def test_a_tree_that_changes_while_it_is_walked_gets_no_index(indexed, monkeypatch):
    root, load, walked = indexed
    real = folder._walk

    def changed(top, name):
        found = real(top, name)
        _touch(root, 'train/a/late.jpg')
        return found
    monkeypatch.setattr(folder, '_walk', changed)
    load()
    monkeypatch.setattr(folder, '_walk', real)
    assert b'train/a/late.jpg' in load().train.paths.tolist()
