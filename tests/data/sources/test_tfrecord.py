import pickle

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data import sources
from bsce_tf.errors import InputError


def _feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _write(path, rows, **options):
    with tf.io.TFRecordWriter(str(path), **options) as writer:
        for row in rows:
            features = tf.train.Features(feature={key: _feature(row[key]) for key in row})
            writer.write(tf.train.Example(features=features).SerializeToString())


def _rows(labels, start=0):
    return [{'image/encoded': b'image %d' % i * (i + 1), 'image/class/label': label}
            for i, label in enumerate(labels, start)]


def _load(root, **fields):
    return sources.load('tfrecord', root=str(root), cache='off', **fields)


def test_records_are_read_in_any_order(tmp_path):
    _write(tmp_path / 'train-00000-of-00002', _rows([2, 10]))
    _write(tmp_path / 'train-00001-of-00002', _rows([10, 1, 2], start=2))
    _write(tmp_path / 'validation-00000-of-00001', _rows([10]))
    for name in ('@eaDir', '.trash'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'train-00001-of-00002').write_bytes(b'not a record')
    train, validation, test = _load(tmp_path, train='**/train-*')
    assert train.class_names == ('1', '2', '10')
    assert test is None
    np.testing.assert_array_equal(train.labels, [1, 2, 2, 0, 1])
    assert validation.labels.tolist() == [2]
    expected = [b'image %d' % i * (i + 1) for i in range(5)]
    assert train.records.read([4, 0, 2, 2]) == [expected[i] for i in (4, 0, 2, 2)]
    assert train.records.read([]) == []
    chosen = pickle.loads(pickle.dumps(train.subset([3, 1]).records))
    assert chosen.read([0, 1]) == [expected[3], expected[1]]
    assert train.name(1).startswith('train-00000-of-00002:')


def test_texts_are_class_names(tmp_path):
    rows = [row | {'image/class/text': text} for row, text in
            zip(_rows([1, 2]), [b'tench', b'goldfish'], strict=True)]
    _write(tmp_path / 'train-0', rows)
    train = _load(tmp_path).train
    assert train.class_names == ('goldfish', 'tench')
    assert train.labels.tolist() == [1, 0]


def test_says_what_is_wrong_with_files(tmp_path):
    with pytest.raises(InputError, match="no file fits 'train-.'"):
        _load(tmp_path)
    with pytest.raises(InputError, match='leaves the data folder'):
        _load(tmp_path, train='../train-*')
    whole = tmp_path / 'train-0'
    _write(whole, _rows([1, 2]))
    data = whole.read_bytes()
    whole.write_bytes(data[:-1])
    with pytest.raises(InputError, match='train-0: no whole record at byte'):
        _load(tmp_path)
    whole.write_bytes(data[:20] + b'?' + data[21:])
    with pytest.raises(InputError, match='train-0: .*orrupted record'):
        _load(tmp_path)
    _write(whole, [*_rows([1]), {'image/class/label': 1}])
    with pytest.raises(InputError, match=r'train-0:\d\d: .*image/encoded'):
        _load(tmp_path).train.records.read([1])
    whole.write_bytes(b'')
    with pytest.raises(InputError, match='train-.: no record in these files'):
        _load(tmp_path)


@pytest.mark.parametrize('options', ['GZIP', 'ZLIB', ''])
@pytest.mark.parametrize(('image', 'label', 'fields'), [
    ('image', 'label', {}), ('image/encoded', 'image/class/label', {}),
    ('pixels', 'sku', {'image_column': 'pixels', 'label_column': 'sku'})])
def test_keys_and_compressions(tmp_path, options, image, label, fields, caplog):
    """Also a test set without labels, and labels that are texts."""
    rows = [{image: b'image %d' % i * (i + 1), label: (5, 3)[i % 2]} for i in range(6)]
    for i in range(3):  # more files than are kept
        _write(tmp_path / f'train-{i}', rows[2 * i:2 * i + 2], options=options)
    _write(tmp_path / 'validation-0', rows[:1])
    _write(tmp_path / 'test-0', [{image: b'x'}, {image: b'y'}], options=options)
    train, validation, test = _load(tmp_path, test='test-*', **fields)
    assert train.class_names == ('3', '5')
    assert train.labels.tolist() == [1, 0] * 3
    chosen = pickle.loads(pickle.dumps(train.subset([5, 0, 3, 1]).records))
    assert chosen.read([3, 0, 1, 2]) == [rows[i][image] for i in (1, 5, 0, 3)]
    assert validation.records.read([0]) == [rows[0][image]]
    assert test.records.read([1, 0]) == [b'y', b'x']
    assert not test.labelled
    assert ('bsce pack' in caplog.text) == bool(options)
    _write(tmp_path / 'train-0', [row | {label: b'bag'} for row in rows], options=options)
    (tmp_path / 'validation-0').unlink()
    with pytest.raises(InputError, match=f'train-1: .*expected TFRecords .* {image} and {label}'):
        _load(tmp_path, **fields)
    train, _, _ = _load(tmp_path, train='train-0', **fields)
    assert train.class_names == ('bag',)


def test_keys_that_are_missing_or_hold_something_else_are_told(tmp_path):
    _write(tmp_path / 'train-0', [{'picture': b'x', 'kind': 3}])
    for fields, message in (
            ({}, r"no key 'image' or 'image/encoded' \(data.image_column\) with images as bytes "
                 'among kind, picture'),
            ({'image_column': 'kind'}, "no key 'kind' .data.image_column"),
            ({'image_column': 'picture'}, r"no key 'label' or 'image/class/label' \(data.label_co"),
            ({'image_column': 'picture', 'label_column': 'sku'}, "no key 'sku' .data.label_col")):
        with pytest.raises(InputError, match=f'train-0: {message}') as error:
            _load(tmp_path, **fields)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('options', ['GZIP', ''])
def test_records_of_something_else_are_named(tmp_path, options):
    with tf.io.TFRecordWriter(str(tmp_path / 'train-0'), options=options) as writer:
        writer.write(b'no message')
    with pytest.raises(InputError, match='train-0: .*expected TFRecords of tf.train') as error:
        _load(tmp_path)
    assert '\n' not in str(error.value)
    _write(tmp_path / 'train-0', _rows([1, 2]), options=options)
    train = _load(tmp_path).train
    with tf.io.TFRecordWriter(str(tmp_path / 'train-0'), options=options) as writer:
        writer.write(b'no message')
    with pytest.raises(InputError, match='train-0:0: no record there') as error:
        train.records.read([0])
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('options', ['GZIP', 'ZLIB'])
def test_a_damaged_compressed_file_is_named(tmp_path, options):
    _write(tmp_path / 'train-0', _rows([1, 2] * 200), options=options)
    train = _load(tmp_path).train
    whole = (tmp_path / 'train-0').read_bytes()
    (tmp_path / 'train-0').write_bytes(whole[:len(whole) // 2])
    for read in (lambda: train.records.read([0]), lambda: _load(tmp_path)):
        with pytest.raises(InputError, match='train-0:') as error:
            read()
        assert '\n' not in str(error.value)


def test_a_file_that_only_begins_like_a_compressed_one(tmp_path):
    row = {'image': bytes(0x8b1f - 60), 'label': 1}
    _write(tmp_path / 'train-0', [row])
    row['image'] += bytes(0x8b1f + 16 - (tmp_path / 'train-0').stat().st_size)
    _write(tmp_path / 'train-0', [row])
    assert (tmp_path / 'train-0').read_bytes()[:2] == b'\x1f\x8b'
    assert _load(tmp_path).train.records.read([0]) == [row['image']]


@pytest.mark.parametrize('damage', ['length', 'data', 'cut', 'remove', 'text'])
def test_damage_after_the_index_was_made_is_found_by_its_checksum_and_named(tmp_path, damage):
    _write(tmp_path / 'train-0', _rows([1, 2, 1]))
    train = _load(tmp_path).train
    images = train.records.read([0, 1, 2])
    data = bytearray((tmp_path / 'train-0').read_bytes())
    start = int(train.name(1).rpartition(':')[2])
    data[start + {'length': 0, 'data': 40}.get(damage, 0)] ^= damage in ('length', 'data')
    if damage == 'cut':
        data = data[:start + 20]
    if damage == 'text':
        data = b'a text'
    (tmp_path / 'train-0').write_bytes(data)
    if damage == 'remove':
        (tmp_path / 'train-0').unlink()
    with pytest.raises(InputError, match=f'train-0:{start}: ') as error:
        train.records.read([1])
    assert '\n' not in str(error.value)
    with pytest.raises(InputError, match=r'train-0:(0|\d\d): '):
        train.records.read([0, 1])
    if damage in ('length', 'data', 'cut'):
        assert train.records.read([0]) == images[:1]
    if damage in ('length', 'data'):
        assert train.records.read([2, 0]) == [images[2], images[0]]
