import json
import shutil

import numpy as np
import pytest

from bsce_tf.data import prepare, sources
from bsce_tf.data.listing import index_cache
from bsce_tf.data.sources import aliproducts
from bsce_tf.errors import InputError


def _write(root, name, images):
    (root / name).write_text(json.dumps({'info': {'year': 2020}, 'images': images}))


def _tree(root):
    train = [('10', 'a.jpg'), ('9', 'b.jpg'), ('10', 'c.jpg'), ('11', 'é.jpg')]
    for name, image in train:
        (root / 'train' / name).mkdir(parents=True, exist_ok=True)
        (root / 'train' / name / image).write_bytes(b'x')
    _write(root, 'train.json', [{'class_id': c, 'image_id': i} for c, i in train])
    (root / 'val').mkdir()
    (root / 'val' / 'v.jpg').write_bytes(b'x')
    _write(root, 'val.json', [{'class_id': '11', 'image_id': 'v.jpg'}])
    _write(root, 'test.json', [{'image_id': 't.jpg'}, {'image_id': 'u.jpg'}])
    return root


def _load(root, **fields):
    return sources.load('aliproducts', root=str(root), cache='off', **fields)


def test_lists_and_folders_become_examples(tmp_path):
    splits = _load(_tree(tmp_path), test='test.json')
    train, validation, test = splits
    assert train.class_names == validation.class_names == ('9', '10', '11')
    np.testing.assert_array_equal(train.labels, [1, 0, 1, 2])
    assert train.paths.tolist() == [b'train/10/a.jpg', b'train/9/b.jpg', b'train/10/c.jpg',
                                    'train/11/é.jpg'.encode()]
    assert train.root == str(tmp_path)
    assert train.labels.dtype == np.int32
    np.testing.assert_array_equal(validation.labels, [2])
    assert validation.paths.tolist() == [b'val/v.jpg']  # lies in no folder of a class
    assert test.labels.tolist() == [-1, -1]
    assert test.paths.tolist() == [b'test/t.jpg',
                                                                       b'test/u.jpg']


def test_without_val_json_there_is_no_validation_set(tmp_path):
    (_tree(tmp_path) / 'val.json').unlink()
    assert _load(tmp_path).validation is None


def test_numbers_as_class_ids_are_taken_too(tmp_path):
    _write(tmp_path, 'train.json', [{'class_id': 2, 'image_id': 'a'}, {'class_id': 10,
                                                                      'image_id': 'b'}])
    assert _load(tmp_path).train.class_names == ('2', '10')
    (tmp_path / 'train.json').write_text('{"images": [{"class_id": true, "image_id": "a"}, '
                                         '{"class_id": 1.50, "image_id": "b"}]}')
    assert _load(tmp_path).train.class_names == ('1.50', 'true')


def test_a_class_that_only_validation_has_comes_last_and_is_named(tmp_path, caplog):
    _tree(tmp_path)
    _write(tmp_path, 'val.json', [{'class_id': '1', 'image_id': 'v.jpg'},
                                  {'class_id': '9', 'image_id': 'w.jpg'}])
    with caplog.at_level('WARNING'):
        train, validation, _ = prepare.load('aliproducts', root=str(tmp_path), cache='off')
    assert "no training image of 1 classes ('1'), so nothing" in caplog.text
    assert 'their 1 validation images count as errors' in caplog.text
    assert train.class_names == ('9', '10', '11', '1')
    np.testing.assert_array_equal(train.labels, [1, 0, 1, 2])
    np.testing.assert_array_equal(validation.labels, [3, 0])


def test_a_file_of_classes_gives_the_order_and_must_hold_all(tmp_path):
    _tree(tmp_path)
    classes = tmp_path / 'classes.json'
    classes.write_text('["11", "10", "9", "8"]')
    assert _load(tmp_path, classes=str(classes)).train.labels.tolist() == [1, 2, 1, 0]
    classes.write_text('["11", "10"]')
    with pytest.raises(InputError, match="class '9' is not in .*classes.json"):
        _load(tmp_path, classes=str(classes))


@pytest.mark.parametrize(('where', 'image'), [
    ('1', '../a.jpg'), ('1', '/etc/passwd'), ('1', 'x/../../a.jpg'), ('1', ''), ('../..', 'a.jpg')])
def test_a_path_that_leaves_the_data_folder_is_refused(tmp_path, where, image):
    (tmp_path / 'train' / '1').mkdir(parents=True)
    (tmp_path / 'train' / '1' / 'good..name.jpg').write_bytes(b'x')
    _write(tmp_path, 'train.json', [{'class_id': '1', 'image_id': 'good..name.jpg'},
                                    {'class_id': where, 'image_id': image}])
    with pytest.raises(InputError, match='train.json: image 2 has the path .* stays inside'):
        _load(tmp_path)


@pytest.mark.parametrize(('text', 'found'), [
    ('{"images": [', 'not JSON'),
    ('{"images": [{"image_id": "a", "class_id": ["1"]}]}', r"image 1: found \['1'\]"),
    ('{"images": [{"image_id": null, "class_id": "1"}]}', 'image 1 has the path'),
    ('[1]', 'no list under the key "images"'),
    ('{"images": []}', 'no image found'),
    ('{"images": ["a.jpg"]}', 'image 1 is a.jpg'),
    ('{"images": [{"class_id": "1"}]}', 'image 1 is'),
    ('{"images": [{"image_id": "a"}]}', 'image 1, train/a, has no label'),
    ('{"images": [{"image_id": "a", "class_id": "1"}], "more": {"image_id": "b"}}', 'outside of'),
])
def test_says_what_is_wrong_with_a_list(tmp_path, text, found):
    (tmp_path / 'train.json').write_text(text)
    with pytest.raises(InputError, match=f'train.json: .*{found}'):
        _load(tmp_path)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match='train.json: No such file'):
        _load(tmp_path)
    with pytest.raises(InputError, match='data.root: empty'):
        _load('')


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Loads a tree through a cache; counts how often the list is parsed."""
    monkeypatch.setattr(index_cache, '_SMALLEST', 0)
    (tmp_path / 'data').mkdir()
    root, folder, calls = _tree(tmp_path / 'data'), tmp_path / 'cache', []
    parse = aliproducts._parse
    monkeypatch.setattr(aliproducts, '_parse', lambda path: calls.append(path) or parse(path))

    def load():
        calls.clear()
        splits = sources.load('aliproducts', root=str(root), cache=str(folder))
        return splits.train.paths.tolist(), splits.train.labels.tolist(), len(calls)
    return load, root, folder


def test_the_second_reading_comes_from_the_cache_and_is_equal(cached):
    load, root, folder = cached
    first, second = load(), load()
    assert first[:2] == second[:2]
    assert (first[2], second[2]) == (2, 0)
    assert not [path for path in folder.iterdir() if path.name.startswith('.')]
    assert not (root / 'cache').exists()


def test_a_changed_list_is_read_anew(cached):
    load, root, _ = cached
    load()
    _write(root, 'train.json', [{'class_id': '9', 'image_id': 'b.jpg'}])
    assert load()[0] == [b'train/9/b.jpg']


@pytest.mark.parametrize('name', ['paths.npy', 'codes.npy', 'names.json', 'checksums.json'])
@pytest.mark.parametrize('damage', ['flip', 'cut', 'remove'])
def test_a_damaged_entry_is_rebuilt(cached, name, damage, caplog):
    load, _, folder = cached
    first = load()
    for file in folder.glob(f'*/{name}'):
        data = bytearray(file.read_bytes())
        if damage == 'remove':
            file.unlink()
        else:
            data[-3] ^= 1
            file.write_bytes(data if damage == 'flip' else data[:-3])
    with caplog.at_level('WARNING'):
        again = load()
    assert again[:2] == first[:2]
    assert again[2] == 2
    assert 'damaged cache entry' in caplog.text
    assert load()[2] == 0


def test_a_cache_that_cannot_be_written_costs_only_a_warning(cached, caplog):
    load, _, folder = cached
    folder.write_text('a file where the folder should be')
    with caplog.at_level('WARNING'):
        assert load()[2] == 2
    assert 'data.cache takes another' in caplog.text


def test_where_images_lie_is_looked_up_again_at_every_use(cached, caplog):
    load, root, folder = cached
    shutil.move(root / 'train', root / 'elsewhere')
    with caplog.at_level('WARNING'):
        assert load()[0][0] == b'train/a.jpg'  # a guess, as nothing is there yet
    assert 'train.json: none of 4 images that were looked for lies in' in caplog.text
    shutil.move(root / 'elsewhere', root / 'train')
    assert load()[0][0] == b'train/10/a.jpg'
    assert load()[2] == 0
    (root / 'train' / '10' / 'a.jpg').unlink()  # one that is missing changes nothing
    assert load() == ([b'train/10/a.jpg', b'train/9/b.jpg', b'train/10/c.jpg',
                       'train/11/é.jpg'.encode()], [1, 0, 1, 2], 0)
    for place in list(root.glob('train/*/*')):
        shutil.move(place, root / 'train' / place.name)
    assert load()[0][:2] == [b'train/a.jpg', b'train/b.jpg']
    assert load()[2] == 0


def test_an_unknown_source_is_answered_with_the_names():
    with pytest.raises(InputError, match='expected one of aliproducts, csv'):
        sources.load('excel')
