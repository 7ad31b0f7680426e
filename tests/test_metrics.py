import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import metrics
from bsce_tf.metrics import MeanTop1Error
from bsce_tf.training.strategy import create


def reference(y, predicted, weight, classes):
    errors = [np.average(predicted[y == k] != k, weights=weight[y == k])
              for k in range(classes) if weight[y == k].sum() > 0]
    return np.mean(errors)


def problem(n=203, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes - 2, n)  # the last two classes have no images
    z = rng.normal(size=(n, classes)).astype(np.float32) + 2 * np.eye(classes)[y]
    return y, z.astype(np.float32), rng.uniform(0, 2, n).astype(np.float32)


@pytest.mark.parametrize('labels', ['hard', 'column', 'one_hot'])
@pytest.mark.parametrize('weighted', [False, True])
def test_agrees_with_a_loop_over_classes(labels, weighted):
    y, z, weight = problem()
    shaped = {'hard': y, 'column': y[:, None], 'one_hot': np.eye(7)[y]}[labels]
    metric = MeanTop1Error(7)
    for i in range(0, 203, 50):  # the last batch is short
        part = slice(i, i + 50)
        metric.update_state(shaped[part], z[part], weight[part] if weighted else None)
    expected = reference(y, z.argmax(-1), weight if weighted else np.ones(203), 7)
    assert metric.result().numpy() == pytest.approx(expected, rel=1e-5)
    assert metric.classes_without_images == 2


def test_keeps_two_numbers_a_class():
    metric = MeanTop1Error(50_030)
    assert sum(int(np.prod(v.shape)) for v in metric.variables) == 2 * 50_030
    z = np.zeros((2, 50_030), np.float32)
    z[[0, 1], [50_029, 4]] = 1
    metric.update_state([50_029, 3], z)
    assert metric.result() == 0.5


def test_is_right_in_evaluate_under_two_replicas_with_a_short_batch():
    y, z, _ = problem()
    strategy = create('mirrored', 2)
    with strategy.scope():
        model = keras.Sequential([keras.Input((7,)), keras.layers.Identity()])
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(True),
                      metrics=[MeanTop1Error(7)])
        result = model.evaluate(tf.data.Dataset.from_tensor_slices((z, y)).batch(50), verbose=0)
    assert result[1] == pytest.approx(reference(y, z.argmax(-1), np.ones(203), 7), rel=1e-5)


def test_nothing_seen_nan_and_wrong_width():
    metric = MeanTop1Error(3)
    assert metric.result() == 0
    metric.update_state([0, 0], [[np.nan, 0.0, 0.0], [1.0, 0.0, np.nan]])
    assert metric.result() == 1
    metric.reset_state()
    assert metric.classes_without_images == 3
    with pytest.raises(ValueError, match=r'expected \[n, 3\]'):
        metric.update_state([0], [[0.0, 1.0]])
    with pytest.raises(ValueError, match='num_classes'):
        MeanTop1Error(1)
    assert MeanTop1Error.from_config(metric.get_config()).num_classes == 3


@pytest.mark.parametrize(('labels', 'z', 'weight', 'message'), [
    (np.eye(4)[[0, 1]], np.zeros((2, 3)), None, r'labels of shape \(2, 4\); expected \[n\]'),
    (np.zeros((2, 1, 1)), np.zeros((2, 3)), None, r'labels of shape \(2, 1, 1\)'),
    ([[0, 1]], np.zeros((1, 2, 3)), None, r'predictions of shape \(1, 2, 3\)'),
    ([0, 1], np.zeros((2, 3)), np.ones((2, 3)), r'sample weights of shape \(2, 3\)'),
    ([0, 1, 2], np.zeros((1, 3)), None, 'found labels of 3 images; expected 1, one for each'),
    ([[0]], np.zeros((2, 3)), None, 'found labels of 1 images; expected 2'),
    (np.eye(3), np.zeros((1, 3)), None, 'found labels of 3 images; expected 1'),
    ([0, 1], np.zeros((2, 3)), [1.0], 'found sample weights of 1 images; expected 2'),
    ([0], np.zeros((1, 3)), np.ones((2, 1)), 'found sample weights of 2 images; expected 1')])
def test_shapes_that_do_not_fit_are_named(labels, z, weight, message):
    with pytest.raises(ValueError, match=message):
        MeanTop1Error(3).update_state(labels, z, weight)


def test_one_weight_for_all_images():
    metric = MeanTop1Error(3)
    metric.update_state([0, 0, 1], np.eye(3)[[0, 1, 1]], 0.5)
    metric.update_state([0], np.eye(3)[[0]])
    assert float(metric.result()) == pytest.approx((1 - 1.5 / 2) / 2)


@pytest.mark.parametrize('bad', [-1, 3, 2**31 - 1])
@pytest.mark.parametrize('jit_compile', [False, True])
def test_a_label_out_of_range_makes_it_nan(bad, jit_compile):
    metric = MeanTop1Error(3)
    update = tf.function(lambda y, z: metric.update_state(y, z), jit_compile=jit_compile)
    z = tf.eye(3)
    update(tf.constant([0, 1, 2]), z)
    assert metric.result() == 0
    update(tf.constant([0, bad, 2]), z)
    assert np.isnan(metric.result())


def test_labels_of_unknown_shape_are_told_apart_when_it_runs():
    y, z, _ = problem()
    expected = reference(y, z.argmax(-1), np.ones(203), 7)
    metric = MeanTop1Error(7)
    update = tf.function(lambda y, z: metric.update_state(y, z), input_signature=[
        tf.TensorSpec([None, None]), tf.TensorSpec([None, 7])])
    for labels in (y[:, None], np.eye(7)[y]):
        metric.reset_state()
        update(labels.astype('float32'), z)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError):
        update(np.ones((203, 2), 'float32'), z)


def test_numbers_of_images_that_differ_are_told_when_it_runs():
    metric = MeanTop1Error(3)
    update = tf.function(metric.update_state, input_signature=[
        tf.TensorSpec([None]), tf.TensorSpec([None, 3]), tf.TensorSpec([None])])
    update([0, 1], np.eye(3, dtype='float32')[:2], [1, 2])
    for sizes in ((3, 1, 1), (1, 3, 3), (2, 2, 1), (1, 1, 2)):
        labels, predictions, weights = map(np.ones, sizes)
        with pytest.raises(tf.errors.InvalidArgumentError):
            update(labels, predictions[:, None] * np.ones(3), weights)
    assert metric.result() == 0
    with pytest.raises(ValueError, match='found hits of 2 images; expected 1'):
        metric.count(tf.constant([0]), tf.constant([True, False]))


def test_groups_are_thirds_by_size():
    groups = metrics.class_groups([5, 100, 0, 7, 5, 50, 9])
    assert {k: v.tolist() for k, v in groups.items()} == {
        'head': [1, 5], 'medium': [6, 3], 'tail': [0, 4]}


def test_summary():
    result = metrics.summary([9, 2, 0, 1], [10, 4, 0, 2], [100, 10, 5, 1])
    assert result['mean_top1_error'] == pytest.approx((0.1 + 0.5 + 0.5) / 3)
    assert result['top1_error'] == pytest.approx(4 / 16)
    assert result['head_error'] == pytest.approx(0.3)
    assert np.isnan(result['medium_error'])
    assert result['tail_error'] == pytest.approx(0.5)
    assert (result['classes_without_images'], result['images']) == (1, 16)
