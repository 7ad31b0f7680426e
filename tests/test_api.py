"""The program from Python, as the flags are."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import bsce_tf
from bsce_tf import api, recipes
from bsce_tf.data import given
from bsce_tf.data.sources import generated

SMALL = {'model.backbone': 'tests.smoke:NETWORK'}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run whose scales differ from its crop, so that test time averages features."""
    return bsce_tf.train('smoke', tmp_path_factory.mktemp('api') / 'run', epochs=2, **SMALL,
                         **{'loss.name': 'sce', 'model.head': 'tau', 'model.pooling': 'gem'})


def test_every_submodule_is_found_without_an_import_of_its_own():
    folder = pathlib.Path(bsce_tf.__file__).parent
    names = {path.stem for path in folder.glob('*.py')} | {
        path.parent.name for path in folder.glob('*/__init__.py')}
    for name in names - {'__init__'}:
        assert bsce_tf.__getattr__(name).__name__ == f'bsce_tf.{name}'
        assert name in dir(bsce_tf)
    with pytest.raises(AttributeError, match="has no attribute 'lossses'"):
        bsce_tf.lossses  # noqa: B018


def test_a_run_tells_what_it_is(run):
    assert run.config.loss.name == 'sce'
    assert run.class_names == generated.load().train.class_names
    assert [row['epoch'] for row in run.history] == [1, 2]
    assert 0 <= run.errors['mean_top1_error'] <= 1
    again = bsce_tf.load(run.folder)
    assert (again.errors, again.history) == (run.errors, run.history)


def test_evaluate_gives_what_training_wrote(run):
    assert run.evaluate() == run.errors
    with pytest.raises(bsce_tf.InputError, match='config.loss.name: found'):
        run.evaluate(**{'loss.name': 'ce'})


def test_arrays_and_files_have_the_same_answers(run, tmp_path):
    images = generated.load().test.images[:3]
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    one = run.predict(list(images), top_k=2)
    other = run.predict([str(paths[0]), images[1], paths[2]], top_k=2, batch_size=2)
    assert one.classes.shape == one.scores.shape == (3, 2)
    assert (one.classes == other.classes).all()
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    network = run._predictor
    more = run.predict(list(images), top_k=3)
    assert run._predictor is network
    assert (more.classes[:, :2] == one.classes).all()
    assert more.scores.shape == (3, 3)
    with pytest.raises(bsce_tf.InputError, match='nothing.png'):
        run.predict([tmp_path / 'nothing.png'])


def test_the_model_predicts_as_the_run(run):
    images = generated.load().test.images[:4]
    scales = tuple(run.config.image.scales)
    crops = [tf.image.resize(images, (s, s)) for s in scales]  # squash, then the centre
    starts = [(s - 24) // 2 for s in scales]
    crops = [np.round(c[:, i:i + 24, i:i + 24]) for c, i in zip(crops, starts, strict=True)]
    model = run.model()
    features = keras.Model(model.input, model.get_layer('features').output)
    mean = sum(features.predict(crop, verbose=0) for crop in crops) / len(crops)
    logits = np.asarray(model.get_layer('head')(mean))
    found = run.predict(list(images), top_k=6)
    for row, names, scores in zip(logits, found.classes, found.scores, strict=True):
        expected = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        ids = [run.class_names.index(name) for name in names]
        np.testing.assert_allclose(scores, expected[ids], atol=2e-3)


def test_a_saved_model_loads_where_the_package_is_imported(run, tmp_path):
    model, path = run.model(), tmp_path / 'shop.keras'
    model.compile('sgd', loss=bsce_tf.BalancedSymmetricCrossEntropy(),
                  metrics=[bsce_tf.MeanTop1Error(6)])
    model.save(path)
    images = generated.load().test.images[:2, :24, :24]
    np.save(tmp_path / 'images.npy', images)
    code = ('import bsce_tf, keras, numpy as np; '
            f'model = keras.models.load_model({str(path)!r}); '
            f'images = np.load({str(tmp_path / "images.npy")!r}); '
            f'np.save({str(tmp_path / "logits.npy")!r}, model.predict(images, verbose=0))')
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / 'logits.npy'), model.predict(images, verbose=0),
                               rtol=1e-4, atol=1e-5)


def test_given_data_is_trained_on_and_asked_for_again(tmp_path):
    train = generated.load().train
    names = [train.class_names[label] for label in train.labels]
    data = {'train': (train.images, names), 'test': (train.images[:30], names[:30])}
    run = bsce_tf.train('smoke', tmp_path / 'run', data=data, **SMALL)
    assert sorted(run.class_names) == sorted(train.class_names)
    assert run.evaluate(data=data) == run.errors
    with pytest.raises(bsce_tf.InputError, match='data from Python'):
        run.evaluate()
    with pytest.raises(bsce_tf.InputError, match='other training data'):
        bsce_tf.train('smoke', tmp_path / 'run', data=(train.images, names[::-1]), **SMALL)


def test_groups_of_files_that_are_given(tmp_path):
    config = recipes.load('smoke')
    config.data.group_pattern = r'(\d+)_\d'
    names = [str(tmp_path / f'{i // 4}_{i % 4}.png') for i in range(80)]
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(name)
    splits = api._given(config, (names, np.arange(80) // 40))
    assert len(splits.validation) == 8
    assert not set(splits.train.groups) & set(splits.validation.groups)
    config.data.group_column = 'sku'
    with pytest.raises(bsce_tf.InputError, match="group_column: found 'sku', but data from Python"):
        api._given(config, (names, np.arange(80) // 40))


def test_a_dataset_is_read_in_its_order():
    train = generated.load().train
    dataset = tf.data.Dataset.from_tensor_slices((train.images, train.labels))
    found = given.splits(dataset).train
    np.testing.assert_array_equal(found.images, train.images)
    np.testing.assert_array_equal(found.labels, train.labels)


class Noting(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_begin(self, logs=None):
        self.told.append(('begin', self.params['epochs'], self.params['steps']))

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(('epoch', epoch))

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(('batch', batch, round(logs['loss'], 3) > 0))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(('end', epoch, logs['val_mean_top1_error']))
        self.model.stop_training = epoch == 1

    def on_train_end(self, logs=None):
        self.told.append(('done', self.model.count_params()))


def test_callbacks_are_called_as_fit_calls_them_and_may_end_a_stage(tmp_path):
    noting = Noting()
    run = bsce_tf.train('smoke', tmp_path / 'run', callbacks=[noting], epochs=5, **SMALL)
    errors = [row['val_mean_top1_error'] for row in run.history]
    batches = [('batch', 0, True), ('batch', 1, True)]
    assert noting.told == [
        ('begin', 5, 2), ('epoch', 0), *batches, ('end', 0, errors[0]),
        ('epoch', 1), *batches, ('end', 1, errors[1]), ('done', run.model().count_params())]
    again = bsce_tf.train('smoke', tmp_path / 'run', epochs=5, **SMALL)  # it had ended
    assert len(again.history) == 2


@pytest.mark.parametrize(('data', 'message'), [
    ((np.zeros((4, 8, 8, 3)), [0, 1, 0, 1]), 'images of type float64'),
    ((np.zeros((4, 8, 8, 3), np.uint8), [0, 1]), 'found 4 images and labels of shape'),
    ((np.zeros((2, 8, 8, 4), np.uint8), [0, 1]), 'shape \\(2, 8, 8, 4\\)'),
    (([np.zeros((8, 8)), 'a.jpg'], [0, 1]), 'data, train: 0: found an array of type float64'),
    ((np.zeros((2, 8, 8), np.uint8), [0.5, 1]), 'labels of type float64'),
    ({'test': ([], [])}, 'expected train'),
    ({'train': (np.zeros((2, 8, 8), np.uint8), ['a', 'b']),
      'test': (np.zeros((1, 8, 8), np.uint8), ['c'])}, "found the class 'c'")])
def test_data_that_is_none_is_told(data, message):
    with pytest.raises(bsce_tf.InputError, match=message):
        given.splits(data)


def test_bad_calls_are_told_as_the_flags_tell_them(tmp_path):
    with pytest.raises(bsce_tf.InputError, match='config.epoch: unknown field'):
        bsce_tf.train('smoke', tmp_path / 'run', epoch=3)
    with pytest.raises(bsce_tf.InputError, match='config.epochs: found 0'):
        bsce_tf.train('smoke', tmp_path / 'run', epochs=0)
    with pytest.raises(bsce_tf.InputError, match='no config.json'):
        bsce_tf.load(tmp_path)
    assert not (tmp_path / 'run').exists()


def test_fields_that_data_from_python_do_not_need_are_named(caplog):
    data = recipes.load('smoke').data
    api._warn_of_unused(data)
    assert not caplog.text
    data.root, data.clean = '/shop', 'clean.csv'
    api._warn_of_unused(data)
    assert 'config.data.root, config.data.clean: set, but the data come from Python' in caplog.text
