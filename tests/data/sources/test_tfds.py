import io
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from bsce_tf.data import sources
from bsce_tf.data.listing import index_cache
from bsce_tf.errors import InputError


def _jpeg(value):
    return tf.io.encode_jpeg(np.full((8, 8, 3), value, np.uint8)).numpy()


class TinyShop(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, supervised_keys=('picture', 'kind'),
                                     features=tfds.features.FeaturesDict({
                                         'picture': tfds.features.Image(shape=(None, None, 3)),
                                         'kind': tfds.features.ClassLabel(names=['z', 'y', 'x'])}))

    def _split_generators(self, _):
        return {'train': self._generate_examples(7), 'test': self._generate_examples(3)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {'picture': io.BytesIO(_jpeg(30 * i)), 'kind': i % 3}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    tfds.disable_progress_bar()
    TinyShop(data_dir=folder / 'array', file_format='array_record').download_and_prepare()
    TinyShop(data_dir=folder / 'record', file_format='tfrecord').download_and_prepare()
    return folder


def _load(folder, **fields):
    return sources.load('tfds', root=str(folder), **({'dataset': 'tiny_shop'} | fields))


def test_a_prepared_set_is_read_in_any_order(root):
    train, validation, test = _load(root / 'array', cache='off')
    assert train.class_names == test.class_names == ('z', 'y', 'x')
    assert validation is None
    assert len(train) == 7
    assert sorted(test.labels) == [0, 1, 2]
    everything = train.records.read(range(7))
    # Brightness 30·i tells which image it is, and so its label.
    order = [round(float(tf.io.decode_jpeg(image).numpy().mean()) / 30) for image in everything]
    assert sorted(order) == list(range(7))
    np.testing.assert_array_equal(train.labels, np.array(order) % 3)
    chosen = pickle.loads(pickle.dumps(train.subset([5, 1]).records))
    assert chosen.read([1, 0]) == [everything[1], everything[5]]
    assert train.name(5) == 'train/5'


def test_slices_are_splits_and_labels_come_from_the_cache(root, tmp_path, monkeypatch):
    monkeypatch.setattr(index_cache, '_SMALLEST', 0)
    fields = {'train': 'train[:4]', 'validation': 'train[4:]', 'cache': str(tmp_path)}
    first = _load(root / 'array', **fields)
    again = _load(root / 'array', **fields)
    assert (len(first.train), len(first.validation)) == (4, 3)
    np.testing.assert_array_equal(first.train.labels, again.train.labels)
    whole = _load(root / 'array', cache='off').train.records.read(range(7))
    assert first.train.records.read(range(4)) == whole[:4]
    assert first.validation.records.read(range(3)) == whole[4:]
    assert len(list(tmp_path.iterdir())) == 3


def test_says_what_is_wrong(root):
    with pytest.raises(InputError, match='data.dataset: empty'):
        _load(root / 'array', dataset='')
    with pytest.raises(InputError, match="data.dataset: found 'no_such_set'"):
        _load(root / 'array', dataset='no_such_set')
    with pytest.raises(InputError, match='prepared as tfrecord; expected array_record'):
        _load(root / 'record')
    with pytest.raises(InputError, match="no split 'valid'; expected one of train, test"):
        _load(root / 'array', validation='valid')
    with pytest.raises(InputError, match='no data; prepare them by: tfds build mnist'):
        _load(root / 'array', dataset='mnist')
