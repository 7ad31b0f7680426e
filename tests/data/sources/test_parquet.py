import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bsce_tf.data import sources
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

IMAGES = [b'image %d' % i * (i + 1) for i in range(20)]
NAMES = ['shoe', 'bag', 'coat']


def _write(path, images, labels, names=None, bare=False, group=3):
    """A file as `datasets` writes it: structs, and class names in the schema's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.array(images, pa.binary()) if bare else pa.array(
        [{'bytes': image, 'path': f'{i}.jpg'} for i, image in enumerate(images)],
        pa.struct([('bytes', pa.binary()), ('path', pa.string())]))
    table = pa.table({'image': column, **({} if labels is None else {'label': labels})})
    if names:
        features = {'image': {'_type': 'Image'}, 'label': {'names': names, '_type': 'ClassLabel'}}
        table = table.replace_schema_metadata(
            {'huggingface': json.dumps({'info': {'features': features}})})
    pa.parquet.write_table(table, path, row_group_size=group)


def _load(root, **fields):
    return sources.load('parquet', root=str(root), cache='off', **fields)


def test_a_data_set_of_the_hub_is_read_in_any_order(tmp_path):
    _write(tmp_path / 'data' / 'train-00000-of-00002.parquet', IMAGES[:10], [0, 2] * 5, NAMES)
    _write(tmp_path / 'data' / 'train-00001-of-00002.parquet', IMAGES[10:], [1, 2] * 5, NAMES)
    _write(tmp_path / 'data' / 'validation-0.parquet', IMAGES[:2], [2, 0], NAMES)
    _write(tmp_path / 'data' / 'test-0.parquet', IMAGES[:2], [-1, -1], NAMES)
    train, validation, test = _load(tmp_path)
    assert train.class_names == ('bag', 'coat', 'shoe')
    assert train.labels.tolist() == [2, 1] * 5 + [0, 1] * 5
    assert validation.labels.tolist() == [1, 2]
    assert not test.labelled
    order = np.random.default_rng(0).permutation(20)
    assert train.records.read(order) == [IMAGES[i] for i in order]
    assert train.name(11) == 'data/train-00001-of-00002.parquet:1'
    chosen = pickle.loads(pickle.dumps(train.subset([13, 4]).records))
    assert chosen.read([1, 0]) == [IMAGES[4], IMAGES[13]]


def test_bare_bytes_and_texts(tmp_path):
    _write(tmp_path / 'a.parquet', IMAGES[:3], ['7', 'x', '7'], bare=True)
    train, validation, test = _load(tmp_path, train='a.parquet')
    assert (validation, test) == (None, None)
    assert train.class_names == ('7', 'x')
    assert train.labels.tolist() == [0, 1, 0]
    assert train.records.read([2, 1]) == [IMAGES[2], IMAGES[1]]


def test_a_row_without_an_image_is_named_when_it_is_read(tmp_path):
    _write(tmp_path / 'train.parquet', [b'x', None, b''], [0, 0, 0], ['a'])
    train = _load(tmp_path).train
    for row in (1, 2):
        with pytest.raises(InputError, match=rf'train\.parquet:{row}: no bytes of an image'):
            train.records.read([0, row])


def test_what_is_missing_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file fits 'train\*.parquet or data/train"):
        _load(tmp_path)
    _write(tmp_path / 'train.parquet', IMAGES[:2], [0, 1])
    with pytest.raises(InputError, match="no file fits 'val-1'; expected Parquet"):
        _load(tmp_path, validation='val-1')
    with pytest.raises(InputError, match=r"no column 'picture' \(data.image_column\) among image"):
        _load(tmp_path, image_column='picture')
    with pytest.raises(InputError, match=r"no column 'class' \(data.label_column\) among image"):
        _load(tmp_path, label_column='class')
    with pytest.raises(InputError, match='the pattern .* leaves the data folder'):
        _load(tmp_path, train='../train.parquet')
    with pytest.raises(InputError, match="'label' is a column of type int64; expected the bytes"):
        _load(tmp_path, image_column='label')
    (tmp_path / 'train.parquet').write_bytes(b'PAR1 and no more')
    with pytest.raises(InputError, match='not a readable parquet file') as error:
        _load(tmp_path)
    assert '\n' not in str(error.value)


def test_a_file_that_is_gone_later_is_named(tmp_path):
    _write(tmp_path / 'train.parquet', IMAGES, [0] * 20, ['a'])
    train = _load(tmp_path).train
    (tmp_path / 'train.parquet').unlink()
    with pytest.raises(InputError, match=r'train\.parquet'):
        train.records.read([3])


def test_a_replaced_image_changes_the_contents_as_earlier_versions_did_not_notice(tmp_path):
    images = [b'%03d' % i * 4 for i in range(600)]  # more than the bytes of which are compared
    place = tmp_path / 'train.parquet'
    _write(place, images, [0] * 600, ['a'], group=100)

    def contents():
        return records.contents(_load(tmp_path).train)

    before = contents()
    os.utime(place, (1, 1))  # as a copy has
    assert contents() == before
    images[1] = b'a longer one' * 2
    _write(place, images, [0] * 600, ['a'], group=100)
    after = contents()
    assert not records.same(before, after)
    earlier = before.split()[0]
    assert earlier == after.split()[0]  # it is not one of the 256
    assert records.same(earlier, after)
    assert records.differing({'contents': earlier}, {'contents': after}) == []
    assert records.differing({'contents': before}, {'contents': after}) == ['contents']
    train = _load(tmp_path).train
    place.unlink()
    assert records.contents(train)


def test_labels_beyond_the_names_and_below_0(tmp_path):
    _write(tmp_path / 'train.parquet', IMAGES[:2], [0, 3], NAMES)
    with pytest.raises(InputError, match="the label '3' in column 'label'; expected 0 to 2"):
        _load(tmp_path)
    _write(tmp_path / 'train.parquet', IMAGES[:2], [0, 3])
    _write(tmp_path / 'test.parquet', IMAGES[:2], [-1, -1])
    train, _, test = _load(tmp_path)
    assert train.class_names == ('0', '3')
    assert not test.labelled
    _write(tmp_path / 'train.parquet', IMAGES[:2], [0, -1])
    with pytest.raises(InputError, match='has no label'):
        _load(tmp_path)


def test_many_row_groups_are_warned_of(tmp_path, caplog):
    _write(tmp_path / 'train.parquet', IMAGES[:4], [0] * 4, NAMES, group=1)
    _load(tmp_path)
    assert 'bsce pack' not in caplog.text
    _write(tmp_path / 'train.parquet', IMAGES[:5], [0] * 5, NAMES, group=1)
    _load(tmp_path)
    assert 'bsce pack' in caplog.text


def test_groups_are_a_column(tmp_path):
    table = pa.table({'image': pa.array(IMAGES[:3], pa.binary()), 'label': ['a', 'b', 'b'],
                      'sku': ['x', None, 'x']})
    pa.parquet.write_table(table, tmp_path / 'train.parquet')
    pa.parquet.write_table(table.drop(['sku']), tmp_path / 'test.parquet')
    splits = _load(tmp_path, group_column='sku')
    assert splits.train.groups.tolist() == [b'x', b'', b'x']
    assert splits.test.groups.tolist() == [b'', b'', b'']
    with pytest.raises(InputError, match=r"no column 'shop' \(data.group_column\) among image"):
        _load(tmp_path, group_column='shop')
