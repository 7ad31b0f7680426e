import keras
import numpy as np
import pytest
from keras import layers

from bsce_tf.models import heads
from bsce_tf.models.layers.grouped_convolution import GroupedConv2D
from bsce_tf.serving import fold


def drawn(model, seed=0):
    """The model with random weights, statistics of BatchNorm too."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 2.0) if weight.path.endswith(('variance', 'gamma')) else (-0.5, 0.5)
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


def norms(model):
    return [x for x in model._flatten_layers() if isinstance(x, layers.BatchNormalization)]


def assert_same(model, folded, shape):
    images = np.random.default_rng(1).normal(size=shape).astype('float32')
    np.testing.assert_allclose(folded(images), model(images), rtol=1e-4, atol=1e-4)


def test_dense_layer_in_float64():
    inputs = keras.Input((5,))
    model = drawn(keras.Model(inputs, layers.BatchNormalization(epsilon=0.01, name='n')(
        layers.Dense(3, name='d')(inputs))))
    folded, number = fold.fold_batch_norms(model)
    kernel, bias, gamma, beta, mean, variance = (
        np.asarray(w, np.float64) for w in model.get_weights())
    x = np.random.default_rng(1).normal(size=(4, 5))
    own = gamma * (x @ kernel + bias - mean) / np.sqrt(variance + 0.01) + beta
    np.testing.assert_allclose(folded(x.astype('float32')), own, rtol=1e-5, atol=1e-5)
    assert number == 1
    assert not norms(folded)
    np.testing.assert_array_equal(model.get_weights()[0], kernel.astype('float32'))


@pytest.mark.parametrize('layer', [
    lambda: layers.Conv2D(6, 3, 2, 'same', use_bias=False),
    lambda: layers.Conv2D(6, 3),
    lambda: layers.Conv2D(6, 1, groups=2, use_bias=False),
    lambda: GroupedConv2D(6, 3, groups=2, padding='same'),
    lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
    lambda: layers.SeparableConv2D(6, 3, padding='same'),
    lambda: layers.Dense(6)],
    ids=('strided', 'biased', 'grouped', 'ours', 'depthwise', 'separable', 'dense'))
@pytest.mark.parametrize('options', [{}, {'center': False}, {'scale': False}], ids=str)
def test_every_kind_of_layer_in_a_nested_model(layer, options):
    inner_input = keras.Input((9, 8, 4))
    inner = keras.Model(inner_input, layers.ReLU()(layers.BatchNormalization(**options)(
        layer()(inner_input))))
    inputs = keras.Input((9, 8, 4))
    model = drawn(keras.Model(inputs, layers.GlobalAveragePooling2D()(inner(inputs))))
    folded, number = fold.fold_batch_norms(model)
    assert (number, len(norms(folded)), len(norms(model))) == (1, 0, 1)
    assert_same(model, folded, (2, 9, 8, 4))


def test_what_cannot_be_folded_stays():
    inputs = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, name='two_readers')(inputs)
    twice = layers.Conv2D(4, 1, name='called_twice')
    parts = [
        layers.BatchNormalization()(shared),
        shared,
        layers.BatchNormalization()(layers.Conv2D(4, 1, activation='relu')(inputs)),
        layers.BatchNormalization(axis=1)(layers.Conv2D(4, 1)(inputs)),
        layers.BatchNormalization()(layers.ReLU()(layers.Conv2D(4, 1)(inputs))),
        layers.BatchNormalization()(twice(inputs)),
        twice(shared),
        layers.BatchNormalization()(heads.TauHead(4, tau=0.5)(inputs)),
        layers.BatchNormalization()(inputs)]
    model = drawn(keras.Model(inputs, layers.Concatenate()(parts)))
    folded, number = fold.fold_batch_norms(model)
    assert number == 0
    assert len(norms(folded)) == 7
    assert_same(model, folded, (2, 8, 8, 4))
