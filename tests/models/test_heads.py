import keras
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.models import heads

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(4, 6)).astype('float32')
KERNEL = RNG.normal(size=(6, 3)).astype('float32')
BIAS = RNG.normal(size=3).astype('float32')


def built(name, **options):
    layer = heads.head(name, 3, **options)
    layer.build((None, 6))
    layer.kernel.assign(KERNEL)
    return layer


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_tau_divides_by_the_lengths_of_the_class_vectors(tau):
    linear, layer = built('linear'), built('tau', tau=tau)
    linear.bias.assign(BIAS)
    layer.set_weights(linear.get_weights())
    expected = FEATURES @ (KERNEL / np.linalg.norm(KERNEL, axis=0) ** tau) + BIAS
    np.testing.assert_allclose(layer(FEATURES), expected, rtol=1e-5)
    if not tau:
        np.testing.assert_array_equal(layer(FEATURES), linear(FEATURES))


def test_linear_is_a_dense_layer():
    layer, dense = built('linear'), keras.layers.Dense(3)
    dense.build((None, 6))
    dense.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(FEATURES), dense(FEATURES))


def test_cosine_is_the_scaled_cosine():
    layer = built('cosine', scale=7.0)
    cosines = (FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)) @ (
        KERNEL / np.linalg.norm(KERNEL, axis=0))
    np.testing.assert_allclose(layer(FEATURES), 7 * cosines, rtol=1e-5)
    np.testing.assert_allclose(layer(50 * FEATURES), 7 * cosines, rtol=1e-5)
    assert np.isfinite(layer(np.zeros((1, 6), 'float32'))).all()


@pytest.mark.parametrize('learnt', [True, False])
def test_the_scale_trains_only_if_it_is_learnt(learnt):
    layer = built('cosine', learn_scale=learnt)
    model = keras.Sequential([layer])
    model.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(FEATURES, np.array([0, 1, 2, 0]), verbose=0)
    assert (float(layer.scale.numpy()) != 10.0) == learnt
    assert not np.array_equal(layer.kernel.numpy(), KERNEL)


@pytest.mark.parametrize('name', heads.HEADS)
@pytest.mark.parametrize('policy', ['mixed_float16', 'mixed_bfloat16'])
def test_logits_are_float32_under_every_policy(name, policy):
    keras.config.set_dtype_policy(policy)
    assert built(name)(FEATURES.astype('float16')).dtype == 'float32'


@pytest.mark.parametrize('name', heads.HEADS)
@pytest.mark.parametrize('pooling', heads.POOLINGS)
def test_saved_and_loaded(name, pooling, tmp_path):
    inputs = keras.Input((3, 3, 6))
    layer = heads.head(name, 3, scale=4.0, learn_scale=False, tau=0.7)
    model = keras.Model(inputs, layer(heads.pooling(pooling)(inputs)))
    model.save(tmp_path / 'model.keras')
    loaded = keras.saving.load_model(tmp_path / 'model.keras')
    images = RNG.normal(size=(2, 3, 3, 6)).astype('float32')
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.get_layer('head').get_config() == layer.get_config()


def test_poolings():
    maps = np.abs(RNG.normal(size=(2, 4, 4, 5))).astype('float32') + 0.1
    np.testing.assert_allclose(heads.pooling('avg')(maps), maps.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(heads.pooling('max')(maps), maps.max((1, 2)))
    np.testing.assert_allclose(heads.pooling('gem')(maps), (maps**3).mean((1, 2)) ** (1 / 3),
                               rtol=1e-5)
    gem = heads.GeneralisedMeanPooling2D(1.0)
    np.testing.assert_allclose(gem(maps), maps.mean((1, 2)), rtol=1e-5)


def test_gem_of_large_features_in_half_precision():
    keras.config.set_dtype_policy('mixed_float16')
    pooled = heads.pooling('gem')(np.full((1, 2, 2, 1), 300, 'float16'))
    assert pooled.dtype == 'float16'
    np.testing.assert_allclose(pooled, 300, rtol=1e-3)


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: heads.head('arcface', 3), "model.head: found 'arcface'; expected one of linear"),
    (lambda: heads.pooling('sum'), "model.pooling: found 'sum'; expected one of avg"),
    (lambda: heads.head('tau', 3, tau=-1.0), 'model.head_tau: found -1.0'),
    (lambda: heads.head('cosine', 3, scale=0.0), 'model.head_scale: found 0.0'),
    (lambda: heads.GeneralisedMeanPooling2D(0.0), 'p of GeM: found 0.0')])
def test_bad_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()
