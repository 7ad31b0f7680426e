import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import internals
from bsce_tf.models import backbones, classifier
from bsce_tf.models.layers.batch_norm import FusedBatchNormalization

EPSILON, MOMENTUM = 1e-3, 0.9


def made(layer=FusedBatchNormalization, shape=(4, 5, 6, 3), **options):
    rng = np.random.default_rng(1)
    norm = layer(epsilon=EPSILON, momentum=MOMENTUM, **options)
    norm.build(shape)
    norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.weights])
    return norm


def reference(x, gamma, beta, upstream):
    """Outputs, mean, variance and the gradients of x, gamma and beta, in float64."""
    x, axes = x.astype(np.float64), (0, 1, 2)
    mean, variance = x.mean(axes), x.var(axes)
    scale = 1 / np.sqrt(variance + EPSILON)
    normal = (x - mean) * scale
    by_gamma, by_beta = (upstream * normal).sum(axes), upstream.sum(axes)
    count = x[..., 0].size
    by_x = gamma * scale * (upstream - by_beta / count - normal * by_gamma / count)
    return gamma * normal + beta, mean, variance, by_x, by_gamma, by_beta


@pytest.mark.parametrize(('offset', 'shape'), [
    (0.0, (4, 5, 6, 3)), (30.0, (4, 5, 6, 3)), (0.0, (2, 1, 1, 7)), (0.0, (1, 2, 1, 4))])
def test_a_training_step_agrees_with_float64(offset, shape):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) + offset).astype('float32')
    upstream = rng.normal(size=shape).astype('float32')
    norm = made(shape=shape)
    gamma, beta, old_mean, old_variance = norm.get_weights()
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(norm(inputs, training=True) * upstream)
    gradients = tape.gradient(total, [inputs, norm.gamma.value, norm.beta.value])
    outputs, mean, variance, *expected = reference(x, gamma, beta, upstream)
    again = made(shape=shape)(inputs, training=True)
    np.testing.assert_allclose(again, outputs, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(norm.moving_mean, MOMENTUM * old_mean + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance,
                               MOMENTUM * old_variance + 0.1 * variance, rtol=1e-5)


@pytest.mark.parametrize('policy', ['float32', 'mixed_float16', 'mixed_bfloat16'])
def test_it_is_keras_layer_in_every_type(policy):
    x = np.random.default_rng(0).normal(3.0, 2.0, (8, 4, 4, 3)).astype('float32')
    ours, theirs = (made(layer, dtype=policy) for layer in (
        FusedBatchNormalization, keras.layers.BatchNormalization))
    tolerance = {'float32': 1e-5, 'mixed_float16': 2e-3, 'mixed_bfloat16': 2e-2}[policy]
    for training in (True, False):
        mine, other = (norm(x, training=training) for norm in (ours, theirs))
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(*(tf.cast(y, tf.float32) for y in (mine, other)),
                                   rtol=tolerance, atol=tolerance)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert (mine.name, mine.dtype) == (other.name, other.dtype)
        np.testing.assert_allclose(mine, other, rtol=tolerance)


def operations(norm, *arguments, **options):
    traced = tf.function(lambda x: norm(x, *arguments, **options))
    graph = traced.get_concrete_function(tf.TensorSpec([None, 5, 6, 3])).graph
    return [operation.type for operation in graph.get_operations()]


def test_training_is_fused_and_nothing_else():
    norm = made()
    assert 'FusedBatchNormV3' in operations(norm, training=True)
    assert 'FusedBatchNormV3' not in operations(norm, training=False)
    norm.trainable = False
    assert 'FusedBatchNormV3' not in operations(norm, training=True)


@pytest.mark.parametrize('options', [{'scale': False}, {'center': False}, {'axis': 1}])
def test_what_the_fused_operation_cannot_do_goes_to_keras(options):
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype('float32')
    ours, theirs = (made(layer, **options) for layer in (
        FusedBatchNormalization, keras.layers.BatchNormalization))
    np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))


@pytest.mark.parametrize('name', ['small_resnet', 'small_resnest', 'small_pnasnet'])
def test_networks_use_it(name):
    model = classifier.build(name, 3, image_size=backbones.get(name).weights.size)
    classifier.synchronise_batch_norm(model)  # of one replica
    traced = tf.function(lambda x: model(x, training=True))
    graph = traced.get_concrete_function(tf.TensorSpec([2, *model.input_shape[1:]],
                                                       model.inputs[0].dtype)).graph
    norms = [layer for layer in model._flatten_layers()
             if isinstance(layer, keras.layers.BatchNormalization)]
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count('FusedBatchNormV3') == len(norms) > 0


def test_momentum_reaches_nested_blocks_and_both_kinds_of_layer():
    inner = classifier.build('small_resnest', 3, image_size=96)
    images = keras.Input(inner.input_shape[1:])
    outer = keras.Model(images, keras.layers.BatchNormalization(momentum=0.99)(inner(images)))
    classifier.set_batch_norm_momentum(outer, 0.75)
    found = [layer.momentum for layer in internals.all_layers(outer)
             if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(found) > 10
    assert set(found) == {0.75}
