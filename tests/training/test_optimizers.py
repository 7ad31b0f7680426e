import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.models import classifier
from bsce_tf.training import optimizers, strategy

# By the sides of the maps at 24 px: 12, 12, 6, 3.
DEPTHS = {'head': 0, 'block3': 1, 'block2': 2, 'block1': 3, 'stem': 3}


def build():
    return classifier.build('small_resnet', 5, image_size=24)


def depth(path):
    return DEPTHS[path.split('/')[-2].split('_')[0]]


def test_factors_fall_with_the_depth():
    model = build()
    factors = optimizers.rate_factors(model, 0.5)
    assert factors == {v.path: 0.5 ** depth(v.path) for v in model.trainable_variables}
    assert set(optimizers.rate_factors(model, 1.0).values()) == {1.0}


def test_squeezed_maps_belong_to_the_stage_around_them():
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, 4, 'same', name='a')(images)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = x * keras.layers.Conv2D(4, 1, name='gate')(gate)
    inner = keras.Model(images, x)
    x = keras.layers.Conv2D(4, 3, 4, 'same', name='b')(inner(images))
    backbone = keras.Model(images, x)
    outputs = keras.layers.Flatten()(backbone(images))
    factors = optimizers.rate_factors(keras.Model(images, outputs), 0.1)
    assert factors['a/kernel'] == factors['gate/kernel'] == pytest.approx(0.1**3)
    assert factors['b/kernel'] == pytest.approx(0.1)


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_a_variable_moves_by_its_own_rate(momentum):
    model = build()
    optimizer = optimizers.SGD(0.1, momentum, rate_factors=optimizers.rate_factors(model, 0.5))
    before = [v.numpy() for v in model.trainable_variables]
    gradients = [tf.ones(v.shape) for v in model.trainable_variables]
    tf.function(lambda: optimizer.apply(gradients, model.trainable_variables))()
    for was, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_allclose(was - variable.numpy(), 0.1 * 0.5 ** depth(variable.path),
                                   rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(('ours', 'keras_s'), [
    (optimizers.SGD, keras.optimizers.SGD), (optimizers.AdamW, keras.optimizers.AdamW)])
def test_without_factors_it_is_keras_s(ours, keras_s):
    results = []
    for make in (ours, keras_s):
        variable = keras.Variable(np.arange(6.0), name='a')
        optimizer = make(0.1, weight_decay=0.01, global_clipnorm=0.5)
        for step in range(3):
            optimizer.apply([tf.fill([6], step + 0.7)], [variable])
        results.append(variable.numpy())
    np.testing.assert_array_equal(*results)


def test_with_float16_and_two_replicas():
    keras.config.set_dtype_policy('mixed_float16')
    with strategy.create('mirrored', 2).scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name='a'),
                                  keras.layers.Dense(2, name='b', dtype='float32')])
        model.compile(optimizers.SGD(0.1, rate_factors=dict.fromkeys(
            [v.path for v in model.layers[0].weights], 0.0)), 'mse')
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_weights()
    model.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=4, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]


@pytest.mark.parametrize(('name', 'replicas'), [('sgd', 1), ('adamw', 1), ('sgd', 2)])
@pytest.mark.parametrize('decay_all', [False, True])
def test_weight_decay_leaves_out_what_is_no_kernel(name, replicas, decay_all):
    devices = strategy.create('mirrored' if replicas > 1 else 'one', replicas)
    with devices.scope():
        model = classifier.build('small_resnet', 5, image_size=24, pooling='gem', head='cosine')
        optimizer = optimizers.make(model, optimizers.Settings(
            name, learning_rate=0.1, weight_decay=0.5, decay_all=decay_all))
        optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.uniform(0.5, 2, variable.shape))
    before = {v.path: v.numpy() for v in model.trainable_variables}
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    tf.function(lambda: devices.run(
        lambda: optimizer.apply(zeros, model.trainable_variables)))()
    kept = set()
    for variable in model.trainable_variables:
        factor = variable.numpy() / before[variable.path]
        kept |= {variable.name} if np.all(factor == 1) else set()
        if decay_all or variable.name == 'kernel':
            np.testing.assert_allclose(factor, 1 - 0.1 * 0.5, rtol=1e-6)
    assert kept == (set() if decay_all else {'gamma', 'beta', 'p', 'scale'})


def test_config_round_trip():
    optimizer = optimizers.SGD(0.2, rate_factors={'a': 0.5})
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is optimizers.SGD
    assert again.rate_factors == {'a': 0.5}


@pytest.mark.parametrize('wrong', [{'name': 'rmsprop'}, {'momentum': 1.0}, {'accumulate': 0}])
def test_what_no_field_may_be_is_refused(wrong):
    with pytest.raises(InputError, match=f'optimizer.{next(iter(wrong))}'):
        optimizers.Settings(**{'name': 'sgd', **wrong})
