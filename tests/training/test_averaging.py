import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.training import averaging, strategy


def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name='norm'),
                             keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(2)])


def shift(model, rng):
    for variable in averaging.averaged_variables(model):
        variable.assign(rng.normal(size=variable.shape))


@pytest.mark.parametrize('replicas', [1, 2])
def test_ema_follows_its_formula(replicas):
    rng, decay = np.random.default_rng(0), 0.6
    with strategy.create('mirrored', replicas).scope():
        model = network()
        ema = averaging.Ema(model, decay)
        update = tf.function(ema.update)
        expected = [v.numpy().astype('float64') for v in averaging.averaged_variables(model)]
        for step in range(12):
            shift(model, rng)
            update()
            d = min(decay, (1 + step) / (10 + step))
            expected = [d * old + (1 - d) * v.numpy() for old, v in zip(
                expected, averaging.averaged_variables(model), strict=True)]
        for ours, reference in zip(ema.values(), expected, strict=True):
            np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-6)


def test_swa_is_the_mean():
    rng, model, swa, seen = np.random.default_rng(0), network(), averaging.Swa(), []
    for _ in range(5):
        shift(model, rng)
        swa.add(model)
        seen.append([v.numpy() for v in averaging.averaged_variables(model)])
    for ours, values in zip(swa.values, zip(*seen, strict=True), strict=True):
        np.testing.assert_allclose(ours, np.mean(values, axis=0), rtol=1e-5, atol=1e-6)


def test_swapped_gives_the_weights_back_even_after_an_error():
    model = network()
    before = model.get_weights()
    values = [v.numpy() + 1 for v in averaging.averaged_variables(model)]

    def fail():
        with averaging.swapped(model, values):
            assert model.layers[0].gamma.numpy()[0] == 2.0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('frozen', [False, True])
def test_statistics_are_the_mean_over_batches(frozen):
    model = network()
    model.layers[0].trainable = not frozen
    batches = np.random.default_rng(0).normal(3, 2, size=(6, 32, 4)).astype('float32')
    with tf.distribute.get_strategy().scope():
        statistics = averaging.Statistics(model)
        for part in (batches[::-1], batches):  # the second time counts, and is traced no more
            statistics.estimate([(batch, None) for batch in part], 5)
    norm = model.layers[0]
    mean, variance = batches[:5].mean(axis=1).mean(axis=0), batches[:5].var(axis=1).mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean, 0 * mean if frozen else mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0 * mean + 1 if frozen else variance,
                               rtol=1e-5)
    assert norm.momentum == 0.99
