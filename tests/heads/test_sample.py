import math

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from bsce_tf.heads import class_variable, divided, sample
from bsce_tf.training import optimizers, strategy
from tests.heads.test_divided import CLASSES, FEATURES, LABELS, model_of


def test_a_draw_is_a_pure_function_of_seed_and_step():
    def draws(seed, step):
        return sample.draw(1000, 100, seed, tf.constant(step)).numpy()

    first = draws(1, 2)
    np.testing.assert_array_equal(draws(1, 2), first)
    assert len(set(first.tolist())) == 100
    assert first.min() >= 0
    assert first.max() < 1000
    assert not np.array_equal(draws(1, 3), first)
    assert not np.array_equal(draws(2, 2), first)


def test_the_partition_sum_is_unbiased():
    classes, number, steps = 50, 11, 1500
    z = np.random.default_rng(0).normal(0, 1, classes)
    labels = np.array([3, 7, 3])
    draws = np.stack([sample.draw(classes, number, 5, tf.constant(step)) for step in range(steps)])
    shares = np.bincount(draws.ravel(), minlength=classes) / steps
    assert np.abs(shares - number / classes).max() < 5 * math.sqrt(0.22 * 0.78 / steps)
    sums, misses = [], []
    for drawn in draws:
        ids, log_weights, places = (v.numpy() for v in sample.merged(
            tf.constant(labels, tf.int32), tf.constant(drawn), math.log(classes / number)))
        assert len(set(ids)) == len(ids)
        np.testing.assert_array_equal(ids[places], labels)
        powers = np.exp(z[ids] + log_weights.astype('float64'))
        sums.append(powers.sum())
        misses.append(powers.sum() - powers[places[0]])
    for found, wanted in ((sums, np.exp(z).sum()), (misses, np.exp(z).sum() - np.exp(z[3]))):
        assert abs(np.mean(found) - wanted) < 4 * np.std(found) / math.sqrt(steps)
        assert np.std(found) > 0.05 * wanted  # so that this says something


def head_of(share, **options):
    with strategy.create('one').scope():
        model = model_of('linear', class_variable.Division(CLASSES))
        optimizer = optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5, **options)
        optimizer.build(model.trainable_variables)
        return model, divided.DividedHead(model, losses.make('ce'), share, 5, optimizer)


def test_only_the_rows_of_a_step_change():
    model, head = head_of(0.3)
    variables = [*model.get_layer('head').class_variables, *head.momentums]
    before = [v.numpy() for v in variables]
    labels = np.array([2, 2, 5, 2, 2, 5, 5, 2], 'int32')
    with tf.GradientTape() as tape:
        found, hits, rows, chosen = head.train(head.body(FEATURES), labels, tf.constant(3), tape)
        total = tf.reduce_sum(found)
    gradients = tape.gradient(total, rows)
    head.update([tf.zeros(3)], gradients, chosen)
    ids = chosen.numpy()
    assert hits is None
    assert {2, 5} <= set(ids.tolist())
    assert 4 <= len(ids) <= 6 < CLASSES
    others = np.setdiff1d(np.arange(CLASSES), ids)
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy()[..., others], old[..., others])
    kernel, old, gradient = variables[0].numpy(), before[0], gradients[0].numpy().T
    np.testing.assert_allclose(variables[2].numpy()[:, ids], -0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(kernel[:, ids], old[:, ids] * (1 - 0.5 * 0.1) - 0.1 * gradient,
                               rtol=1e-5, atol=1e-6)


def test_losses_of_a_sample_are_those_of_its_corrected_sum():
    model, head = head_of(0.3)
    with tf.GradientTape() as tape:
        found, _, rows, chosen = head.train(head.body(FEATURES), LABELS, tf.constant(1), tape)
    logits = model_of('linear', None)(FEATURES).numpy().astype('float64')
    ids, given = chosen.numpy(), set(LABELS.tolist())
    number = sample.count(CLASSES, 0.3)
    weights = np.array([1.0 if k in given else CLASSES / number for k in ids])
    expected = np.log((np.exp(logits[:, ids]) * weights).sum(1)) - logits[range(8), LABELS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(('share', 'number'), [(1.0, 10), (0.25, 3), (1e-9, 1)])
def test_at_least_one_class_is_drawn(share, number):
    assert sample.count(10, share) == number
