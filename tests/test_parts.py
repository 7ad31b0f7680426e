"""Parts from a module outside of the package, through all modes."""

import json

import numpy as np
import pytest
import tensorflow as tf

import bsce_tf
from bsce_tf import config_check, recipes
from bsce_tf.audit.audit import audit
from bsce_tf.data.images import augment
from bsce_tf.data.sources import generated
from bsce_tf.errors import InputError
from bsce_tf.models import classifier
from bsce_tf.training.schedule import Schedule
from tests.serving import exported

SHOP = '''
import keras
import tensorflow as tf
from bsce_tf.data.sources import generated

called = []

def source(root):
    called.append(('source', root))
    return generated.load()

def backbone(input_shape):
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 3, strides=2, activation='relu')(inputs)
    return keras.Model(inputs, x, name='tiny')

class Head(keras.layers.Dense):
    pass

def loss(counts):
    called.append(('loss', counts.tolist()))
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

def rate(step, steps, epoch_steps, base):
    called.append(('rate', step, steps, epoch_steps, base))
    return base / (1 + step)

def policy(image, seed):
    called.append(('policy', image.shape.as_list(), seed.dtype.name))
    return 255 - image

def flat(input_shape):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten()])

def nothing(*_, **__):
    return None

def no_images():
    return generated.load()._replace(train=None)

def lost(*_):
    return float('nan')

def bright(image, seed):
    return tf.cast(image, tf.float32) * 1.5

def halved(image, seed):
    return image[::2, ::2]

def by_numpy(image, seed):
    return image.numpy()

def sometimes(image, seed):
    if seed[1] % 2 == 0:
        image = 255 - image
    return image
'''
FIELDS = {'data.source': 'shop:source', 'data.root': 'here', 'model.backbone': 'shop:backbone',
          'model.head': 'shop:Head', 'loss.name': 'shop:loss', 'schedule.name': 'shop:rate',
          'augment.policy': 'shop:policy'}


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp('outside')
    (folder / 'shop.py').write_text(SHOP)
    (folder / 'broken.py').write_text('1 / 0')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import shop
        yield shop


@pytest.fixture(scope='module')
def run(shop, tmp_path_factory):
    return bsce_tf.train('smoke', tmp_path_factory.mktemp('parts') / 'run', **FIELDS)


def test_every_part_is_called_as_it_says(run, shop):
    assert ('source', 'here') in shop.called
    assert ('loss', [24.0] * 6) in shop.called
    assert ('rate', 0, 2, 2, 0.01) in shop.called
    assert ('policy', [24, 24, 3], 'int64') in shop.called
    assert isinstance(run.model().get_layer('head'), shop.Head)
    assert run.model().get_layer('tiny').output_shape == (None, 11, 11, 8)


def test_later_modes_find_the_parts_by_the_run_alone(run):
    assert run.evaluate() == run.errors
    assert run.predict(list(generated.load().test.images[:2])).classes.shape == (2, 5)
    with exported.unchecked():
        version = run.export()
    served = tf.saved_model.load(str(version)).signatures['serving_default']
    image = tf.io.encode_png(generated.load().test.images[0])[None]
    names = [name.decode() for name in served(image_bytes=image)['class_names'].numpy()[0]]
    assert names == run.predict([generated.load().test.images[0]]).classes[0].tolist()


def test_an_audit_trains_with_them(shop, tmp_path):
    config = recipes.load('smoke')
    recipes.change(config, {**FIELDS, 'audit.folds': 2, 'audit.duplicate_similarity': 0.0})
    audit(config, tmp_path / 'audit')
    assert json.loads((tmp_path / 'audit' / 'audit.json').read_text())


def test_a_row_brings_normalisation(shop):
    from bsce_tf.models import backbones, weights
    shop.row = backbones.Backbone(shop.backbone, 8, weights.Weights('', size=16), None)
    model = classifier.build('shop:row', 4)
    assert model.input_shape == (None, 16, 16, 3)


@pytest.mark.parametrize(('field', 'name', 'message'), [
    ('model.backbone', 'nowhere.nets:tiny', "no module 'nowhere'"),
    ('model.backbone', 'broken:tiny', 'whose module fails: division by zero'),
    ('model.backbone', 'shop:tiny', "the module shop has no 'tiny'"),
    ('model.backbone', 'shop:nothing', 'returns NoneType; expected'),
    ('model.backbone', 'shop:flat', 'gives features of shape'),
    ('model.head', 'shop:nothing', 'returns NoneType; expected'),
    ('loss.name', 'shop:nothing', 'returns NoneType; expected'),
    ('loss.name', 'shop:rate', 'fails: rate() missing'),
    ('data.source', 'shop:called', 'is not a callable object; expected a function'),
    ('data.source', 'shop:nothing', 'returns NoneType; expected bsce_tf’s Splits'),
    ('data.source', 'shop:no_images', 'whose train is NoneType; expected Examples'),
    ('schedule.name', 'shop:tiny', "the module shop has no 'tiny'"),
    ('schedule.name', 'shop:called', "fails: 'list' object is not callable"),
    ('schedule.name', 'shop:nothing', 'returns NoneType; expected a learning rate'),
    ('schedule.name', 'shop:lost', 'returns nan at step 0; expected a learning rate'),
    ('augment.policy', 'shop:tiny', "the module shop has no 'tiny'"),
    ('augment.policy', 'shop:called', 'fails: '),
    ('augment.policy', 'shop:nothing', 'returns NoneType; expected uint8 (24, 24, 3)'),
    ('augment.policy', 'shop:bright', 'returns float32 (24, 24, 3); expected uint8'),
    ('augment.policy', 'shop:halved', 'returns uint8 (12, 12, 3); expected uint8 (24, 24, 3)'),
    ('augment.policy', 'shop:by_numpy', "has no attribute 'numpy'")])
def test_a_part_that_does_not_fit_is_named(shop, tmp_path, field, name, message):
    with pytest.raises(InputError) as error:
        bsce_tf.train('smoke', tmp_path / 'run', **{field: name})
    assert str(error.value).replace(': found', ':').startswith(f"{field}: '{name}'")
    assert message in str(error.value)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'run').exists()


def test_parts_of_later_stages_are_tried_before_the_first(shop, tmp_path):
    for field in ('schedule.name', 'augment.policy'):
        with pytest.raises(InputError, match=f"{field}: 'shop:nothing' returns NoneType"):
            bsce_tf.train('smoke', tmp_path / 'run', stages=({}, {field: 'shop:nothing'}))
    assert not (tmp_path / 'run').exists()


def test_a_policy_may_branch_on_its_seed_whatever_the_source(shop):
    """Images in files are changed in a function whose Python TensorFlow does not rewrite."""
    change = augment.build(augment.Augmentation(policy='shop:sometimes'))
    image = tf.zeros([4, 4, 3], tf.uint8)
    for autograph in (True, False):
        function = tf.function(lambda n: change(image, lambda _: tf.stack([n, n])),
                               autograph=autograph)
        found = [function(tf.constant(n, tf.int64)).numpy().max() for n in range(3)]
        assert found == [255, 0, 255]


@pytest.mark.parametrize('name', ['shop:', ':tiny', 'shop tiny', 'a:b:c', 'model.zip:x y'])
def test_what_is_no_such_name_is_refused(name):
    config = recipes.load('smoke')
    config.model.backbone = name
    with pytest.raises(InputError, match="or 'package.module:object' of your own"):
        config_check.check(config)


def test_warm_up_counts_for_a_schedule_of_ones_own(shop):
    schedule = Schedule('shop:rate', 1.0, 10, 5, warmup_steps=4)
    np.testing.assert_allclose([schedule.rate(s) for s in range(5)],
                               [0.25, 0.5 / 2, 0.75 / 3, 1 / 4, 1 / 5])
