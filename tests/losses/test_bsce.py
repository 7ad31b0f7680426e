import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import class_weights, losses
from bsce_tf.errors import InputError
from bsce_tf.losses import BalancedSymmetricCrossEntropy
from tests.losses import reference

# Float32 holds 1 − p and p − 1 to about 1e-7, so nearer to zero than this nothing is promised.
TOLERANCE = {'rtol': 1e-5, 'atol': 1e-6}


def problem(classes, scale, n=12, seed=0):
    rng = np.random.default_rng(seed)
    z = (rng.standard_normal((n, classes)) * scale).astype(np.float32)
    y = rng.integers(0, classes, n)
    weights = rng.uniform(0.2, 5, classes).astype(np.float32)
    return y, z, weights


def value_and_gradient(loss, y, z):
    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = loss(y, z)
    return value.numpy(), tape.gradient(value, z).numpy()


@pytest.mark.parametrize('classes', [2, 10, 1000, 50_030])
@pytest.mark.parametrize('scale', [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize('kind', ['hard', 'soft', 'smoothed'])
def test_values_and_gradients_agree_with_float64(classes, scale, kind):
    y, z, weights = problem(classes, scale, n=4 if classes > 1000 else 12)
    smoothing = 0.1 if kind == 'smoothed' else 0.0
    q = reference.soft_labels(y, classes, smoothing)
    if kind == 'soft':
        q = 0.3 * q + 0.7 * np.roll(q, 1, axis=-1)
    loss = BalancedSymmetricCrossEntropy(0.4, 0.7, weights, label_smoothing=smoothing,
                                         reduction='sum')
    value, gradient = value_and_gradient(loss, q if kind == 'soft' else y, z)
    expected, expected_gradient = reference.bsce(q, z, 0.4, 0.7, weights)
    np.testing.assert_allclose(value, expected.sum(), **TOLERANCE)
    np.testing.assert_allclose(gradient, expected_gradient, **TOLERANCE)


@pytest.mark.parametrize('margin', [-1e4, -100, -20, -5, 5, 15, 20, 100, 1e4])
def test_certain_and_hopeless_predictions(margin):
    z = np.array([[margin, 0.0, -1.0]], np.float32)
    loss = BalancedSymmetricCrossEntropy(reduction='sum')
    value, gradient = value_and_gradient(loss, [0], z)
    expected, expected_gradient = reference.bsce([[1.0, 0, 0]], z, 0.4, 0.7)
    np.testing.assert_allclose(value, expected.sum(), **TOLERANCE)
    np.testing.assert_allclose(gradient, expected_gradient, **TOLERANCE)


@pytest.mark.parametrize(('name', 'alpha', 'beta', 'weighted'), [
    ('ce', 1.0, 0.0, False), ('bce', 1.0, 0.0, True), ('sce', 0.4, 0.7, False),
    ('bsce', 0.4, 0.7, True)])
def test_names_are_settings_of_one_class(name, alpha, beta, weighted):
    y, z, weights = problem(7, 3.0)
    expected, _ = reference.bsce(reference.soft_labels(y, 7), z, alpha, beta,
                                      weights if weighted else None)
    np.testing.assert_allclose(losses.by_name(name, weights)(y, z), expected.mean(), rtol=1e-5)


def test_without_weights_and_reverse_term_it_is_keras_cross_entropy():
    y, z, _ = problem(11, 5.0)
    p = tf.nn.softmax(z)
    ours = losses.by_name('ce', None, reduction='none')
    for pred, logits in ((z, True), (p, False)):
        mine = losses.by_name('ce', None, reduction='none', from_logits=logits)
        keras_sparse = keras.losses.SparseCategoricalCrossentropy(logits, reduction='none')
        keras_dense = keras.losses.CategoricalCrossentropy(logits, reduction='none')
        np.testing.assert_allclose(mine(y, pred), keras_sparse(y, pred), rtol=1e-6)
        np.testing.assert_allclose(mine(np.eye(11)[y], pred), keras_dense(np.eye(11)[y], pred),
                                   rtol=1e-5, atol=1e-6)
    smooth = losses.by_name('ce', None, label_smoothing=0.2)
    np.testing.assert_allclose(
        smooth(y, z), keras.losses.CategoricalCrossentropy(True, 0.2)(np.eye(11)[y], z), rtol=1e-5)
    assert ours(y[:, None], z).shape == (12,)


def test_probabilities_give_the_losses_of_their_logits():
    y, z, weights = problem(9, 2.0)
    p = tf.nn.softmax(z)
    for labels in (y, np.eye(9)[y]):
        by_logits = BalancedSymmetricCrossEntropy(class_weights=weights)(labels, z)
        by_p = BalancedSymmetricCrossEntropy(class_weights=weights, from_logits=False)(labels, p)
        np.testing.assert_allclose(by_p, by_logits, rtol=1e-5)


def test_hard_column_and_one_hot_labels_are_the_same():
    y, z, weights = problem(6, 2.0)
    loss = BalancedSymmetricCrossEntropy(class_weights=weights, reduction='none')
    hard = loss(y, z)
    np.testing.assert_allclose(loss(y[:, None], z), hard)
    np.testing.assert_allclose(loss(np.eye(6)[y], z), hard, rtol=1e-5)


@pytest.mark.parametrize('log_zero', [-2.0, -4.0, -9.21])
def test_reverse_term_is_a_times_the_missed_probability(log_zero):
    loss = BalancedSymmetricCrossEntropy(alpha=0.0, beta=1.0, log_zero=log_zero)
    assert loss([0], [[0.0, 0.0, 0.0, 0.0]]).numpy() == pytest.approx(-log_zero * 0.75)
    soft = loss([[0.75, 0.25, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]]).numpy()
    assert soft == pytest.approx(-(np.log(0.75) + np.log(0.25) + 2 * log_zero) / 4)


@pytest.mark.parametrize('reduction', ['sum', 'sum_over_batch_size', 'mean',
                                       'mean_with_sample_weight', 'none', None])
def test_reductions_and_sample_weights(reduction):
    y, z, weights = problem(5, 2.0)
    sample_weight = np.linspace(0, 2, 12).astype(np.float32)
    each, _ = reference.bsce(reference.soft_labels(y, 5), z, 0.4, 0.7, weights)
    weighted = each * sample_weight
    expected = {'sum': weighted.sum(), 'sum_over_batch_size': weighted.mean(),
                'mean': weighted.mean(),
                'mean_with_sample_weight': weighted.sum() / sample_weight.sum()
                }.get(reduction, weighted)
    loss = BalancedSymmetricCrossEntropy(class_weights=weights, reduction=reduction)
    np.testing.assert_allclose(loss(y, z, sample_weight), expected, rtol=1e-5)


@pytest.mark.parametrize('policy', ['float32', 'mixed_float16', 'mixed_bfloat16'])
def test_a_model_trains_saves_and_loads_again(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = BalancedSymmetricCrossEntropy(class_weights=[0.5, 1.0, 1.5], label_smoothing=0.1)
    model.compile('sgd', loss)
    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32) * 100
    y = np.arange(32) % 3
    history = model.fit(x, y, epochs=3, verbose=0).history['loss']
    assert np.isfinite(history).all()
    model.save(tmp_path / 'model.keras')
    again = keras.saving.load_model(tmp_path / 'model.keras')
    assert again.loss.get_config() == loss.get_config()
    assert again.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))


def test_half_precision_logits_are_computed_in_float32():
    y, z, weights = problem(5, 1e3)
    loss = BalancedSymmetricCrossEntropy(class_weights=weights)
    half = tf.cast(z, tf.float16)
    expected, _ = reference.bsce(reference.soft_labels(y, 5), half.numpy(), 0.4, 0.7,
                                      weights)
    assert loss(y, half).numpy() == pytest.approx(expected.mean(), rel=1e-5)


def test_it_compiles_with_xla():
    y, z, weights = problem(5, 2.0)
    loss = BalancedSymmetricCrossEntropy(class_weights=weights)
    compiled = tf.function(loss, jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(y), tf.constant(z)), loss(y, z), rtol=1e-5)


@pytest.mark.parametrize(('settings', 'named'), [
    ({'alpha': -0.1}, 'alpha'), ({'beta': -1}, 'beta'), ({'alpha': float('nan')}, 'alpha'),
    ({'beta': float('inf')}, 'beta'), ({'log_zero': 0}, 'log_zero'), ({'log_zero': 1}, 'log_zero'),
    ({'log_zero': float('nan')}, 'log_zero'), ({'label_smoothing': 1.0}, 'label_smoothing'),
    ({'class_weights': [1.0, -1.0]}, 'class_weights'),
    ({'class_weights': [1.0, float('nan')]}, 'class_weights'),
    ({'class_weights': [[1.0]]}, 'class_weights')])
def test_bad_settings_are_named(settings, named):
    with pytest.raises(InputError, match=named) as error:
        BalancedSymmetricCrossEntropy(**settings)
    assert '\n' not in str(error.value)


def test_shapes_that_do_not_fit_are_named():
    loss = BalancedSymmetricCrossEntropy(class_weights=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r'class_weights: found shape \(3,\); expected \(4,\)'):
        loss([0], np.zeros((1, 4)))
    with pytest.raises(ValueError, match='y_true: found shape'):
        BalancedSymmetricCrossEntropy()(np.zeros((1, 3)), np.zeros((1, 4)))
    with pytest.raises(ValueError, match='y_pred: found shape'):
        BalancedSymmetricCrossEntropy()([0], np.zeros((1, 1)))
    with pytest.raises(InputError, match='loss.name'):
        losses.by_name('no_such', None)


@pytest.mark.parametrize(('counts', 'named'), [
    ([3, 0, 1], 'class 1 has 0 images'), ([], 'counts'), ([1, -2], 'class 1'),
    ([1.0, float('nan')], 'class 1')])
def test_classes_without_images_have_no_weight(counts, named):
    with pytest.raises(InputError, match=named):
        class_weights.balanced(counts)


def test_balanced_weights():
    counts = np.array([8000, 50, 5])
    weights = class_weights.balanced(counts)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, 8055 / (3 * counts), rtol=1e-6)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    assert class_weights.balanced(counts, cap=10).max() == 10
    for none in (0, None):
        assert (class_weights.balanced(counts, cap=none) == weights).all()
    with pytest.raises(InputError, match='loss.weight_cap: found -1; expected a number ≥ 0'):
        class_weights.balanced(counts, cap=-1)
