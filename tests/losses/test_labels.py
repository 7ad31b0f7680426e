"""Shapes and values of labels that a loss must not take for something else."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses

K = 5
COUNTS = np.arange(1.0, K + 1)
ALL = [losses.by_name(name, class_weights=COUNTS, prior=COUNTS, counts=COUNTS, reduction='none')
       for name in losses.NAMES]
SOFT = [loss for loss in ALL if loss.name != 'seesaw']
Z = np.random.default_rng(0).standard_normal((3, K)).astype(np.float32)


@pytest.mark.parametrize('loss', ALL, ids=lambda loss: loss.name)
@pytest.mark.parametrize('bad', [-1, K, 2**31 - 1])
def test_a_label_out_of_range_is_nan_where_it_is_no_error(loss, bad):
    compiled = tf.function(loss, jit_compile=True)
    found = compiled(tf.constant([0, bad, 2]), tf.constant(Z)).numpy()
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], loss([0, 2], Z[[0, 2]]), rtol=1e-5)
    with tf.GradientTape() as tape:
        z = tf.constant(Z)
        tape.watch(z)
        value = compiled(tf.constant([0, bad, 2]), z)
    assert np.isnan(tape.gradient(value, z)[1]).any()


@pytest.mark.parametrize('loss', SOFT, ids=lambda loss: loss.name)
def test_labels_of_unknown_shape_are_told_apart_when_it_runs(loss):
    traced = tf.function(loss, input_signature=[tf.TensorSpec([None, None]),
                                                tf.TensorSpec([None, K])])
    y = np.array([4, 0, 2])
    expected = loss(y, Z)
    np.testing.assert_allclose(traced(y[:, None].astype('float32'), Z), expected, rtol=1e-4)
    np.testing.assert_allclose(traced(np.eye(K, dtype='float32')[y], Z), expected, rtol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(np.ones((3, 2), 'float32'), Z)


@pytest.mark.parametrize('loss', ALL, ids=lambda loss: loss.name)
def test_sequences_of_labels(loss):
    y = np.array([[4, 0, 2], [1, 1, 3]])
    z = np.stack([Z, -Z])
    expected = np.stack([loss(y[0], Z), loss(y[1], -Z)])
    np.testing.assert_allclose(loss(y, z), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(y[..., None], z), expected, rtol=1e-5)
    with pytest.raises(ValueError, match='y_true: found shape'):
        loss(y, Z)


@pytest.mark.parametrize('policy', ['float32', 'mixed_float16'])
@pytest.mark.parametrize('name', ['bsce', 'focal'])
def test_a_softmax_before_a_loss_of_logits_warns(name, policy):
    keras.config.set_dtype_policy(policy)
    loss = losses.by_name(name, COUNTS)
    for activation, wanted in (('softmax', True), (None, False)):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(K, activation=activation)])
        model.compile('sgd', loss)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('default')  # once a place
            model.fit(np.ones((6, 4)), np.arange(6) % K, batch_size=3, epochs=2, verbose=0)
        told = [w for w in found if 'from_logits=True, but the predictions' in str(w.message)]
        assert len(told) == wanted
