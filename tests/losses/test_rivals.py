"""Every loss beyond the paper's four against NumPy, with gradients by central differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from bsce_tf.errors import InputError
from tests.losses import reference

K, N = 7, 9
COUNTS = np.array([400.0, 150, 60, 33, 21, 5, 2])
WEIGHTS = np.linspace(0.5, 2, K)
MANY = {'prior': COUNTS}
# Class, its arguments, and the same loss of one example by NumPy.
CASES = {
    'logit_adjustment': (losses.BalancedSymmetricCrossEntropy, {**MANY, 'alpha': 1, 'beta': 0},
                         lambda y, z: reference.many(y, z, COUNTS, alpha=1, beta=0)),
    'many': (losses.BalancedSymmetricCrossEntropy, {**MANY, 'logit_bias': 'auto'},
             lambda y, z: reference.many(y, z, COUNTS)),
    'many, weighted': (
        losses.BalancedSymmetricCrossEntropy,
        {**MANY, 'logit_bias': 'auto', 'reverse_on': 'weighted'},
        lambda y, z: reference.many(y, z, COUNTS, weighted=True)),
    'many, adjusted': (
        losses.BalancedSymmetricCrossEntropy,
        {**MANY, 'tau': 0.5, 'logit_bias': 2.0, 'reverse_on': 'adjusted'},
        lambda y, z: reference.many(y, z, COUNTS, 0.5, 2.0, adjusted=True)),
    'bias alone': (losses.BalancedSymmetricCrossEntropy, {'logit_bias': 3.0},
                   lambda y, z: reference.many(y, z, np.ones(K), 0.0, 3.0)),
    'focal': (losses.FocalLoss, {'gamma': 2.0}, lambda y, z: reference.focal(y, z, 2.0)),
    'focal, root': (losses.FocalLoss, {'gamma': 0.5}, lambda y, z: reference.focal(y, z, 0.5)),
    'elr': (losses.EarlyLearningLoss, {'counts': COUNTS}, reference.cross_entropy),
    'gce': (losses.GeneralisedCrossEntropy, {}, lambda y, z: reference.gce(y, z, 0.7)),
    'ldam': (losses.LDAMLoss, {'counts': COUNTS, 'scale': 10},
             lambda y, z: reference.ldam(y, z, COUNTS, 0.5, 10)),
    'nce_rce': (losses.NormalisedReverseCrossEntropy, {'alpha': 10, 'beta': 0.5},
                lambda y, z: reference.nce_rce(y, z, 10, 0.5, -4)),
    'seesaw': (losses.SeesawLoss, {'counts': COUNTS},
               lambda y, z: reference.seesaw(y, z, COUNTS, 0.8, 2.0)),
}
SOFT = [name for name in CASES if name != 'seesaw']


def problem(scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, K, N), (rng.standard_normal((N, K)) * scale).astype(np.float32)


def value_and_gradient(loss, y, z, jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def both(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(y, z)
        return value, tape.gradient(value, z)
    return [found.numpy() for found in both(tf.constant(z))]


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('scale', [0.01, 2.0, 20.0])
def test_hard_labels_agree_with_numpy(name, scale):
    make, arguments, expected = CASES[name]
    y, z = problem(scale)
    value, gradient = value_and_gradient(make(**arguments, reduction='none'), y, z)
    exact = z.astype(np.float64)
    np.testing.assert_allclose(value, [expected(*pair) for pair in zip(y, exact, strict=True)],
                               rtol=1e-4, atol=2e-6)
    if name == 'seesaw':  # its factors get no gradient
        def expected(y, z, at):
            return reference.seesaw(y, z, COUNTS, 0.8, 2.0, at)
    for i in range(N):
        fixed = (exact[i],) if name == 'seesaw' else ()
        numeric = reference.gradient(lambda z, i=i, fixed=fixed: expected(y[i], z, *fixed),
                                     exact[i])
        np.testing.assert_allclose(gradient[i], numeric, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize('name', CASES)
def test_compiled_column_and_weighted_labels(name):
    make, arguments, _ = CASES[name]
    y, z = problem()
    loss = make(**arguments, reduction='none')
    expected = value_and_gradient(loss, y, z)
    for found, wanted in zip(value_and_gradient(loss, y[:, None], z, jit_compile=True), expected,
                             strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    weighted = make(**arguments, class_weights=WEIGHTS, reduction='none')
    if isinstance(loss, losses.BalancedSymmetricCrossEntropy):  # the reverse term bears no weight
        part = make(**{**arguments, 'beta': 0}, reduction='none')(y, z)
        np.testing.assert_allclose(weighted(y, z), loss(y, z) + (WEIGHTS[y] - 1) * part, rtol=1e-5)
    else:
        np.testing.assert_allclose(weighted(y, z), WEIGHTS[y] * loss(y, z), rtol=1e-5)


@pytest.mark.parametrize('name', CASES)
def test_probabilities_give_the_losses_of_their_logits(name):
    make, arguments, _ = CASES[name]
    y, z = problem(1.0)
    np.testing.assert_allclose(make(**arguments, from_logits=False)(y, tf.nn.softmax(z)),
                               make(**arguments)(y, z), rtol=1e-4)


@pytest.mark.parametrize('name', SOFT)
def test_one_hot_labels_are_hard_ones(name):
    make, arguments, _ = CASES[name]
    y, z = problem(4.0)
    loss = make(**arguments, class_weights=WEIGHTS, reduction='none')
    for found, wanted in zip(value_and_gradient(loss, np.eye(K)[y], z),
                             value_and_gradient(loss, y, z), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', [name for name in SOFT
                                  if CASES[name][0] is not losses.BalancedSymmetricCrossEntropy])
def test_mixed_labels_are_charged_as_mixup_does(name):
    make, arguments, expected = CASES[name]
    y, z = problem()
    other, exact = np.roll(y, 1), z.astype(np.float64)
    each = [0.3 * WEIGHTS[a] * expected(a, row) + 0.7 * WEIGHTS[b] * expected(b, row)
            for a, b, row in zip(y, other, exact, strict=True)]
    loss = make(**arguments, class_weights=WEIGHTS, reduction='none')
    np.testing.assert_allclose(loss(0.3 * np.eye(K)[y] + 0.7 * np.eye(K)[other], z), each,
                               rtol=1e-4)
    smooth = make(**arguments, label_smoothing=0.2, reduction='none')
    np.testing.assert_allclose(
        smooth(y, z), [0.8 * expected(k, row) + 0.2 / K * sum(expected(j, row) for j in range(K))
                       for k, row in zip(y, exact, strict=True)], rtol=1e-4)


@pytest.mark.parametrize('reverse_on', ['raw', 'adjusted', 'weighted'])
def test_mixed_labels_raise_the_logits_by_their_share_of_the_largest(reverse_on):
    _, z = problem()
    q = np.zeros((N, K))
    q[:, 1], q[:, 4] = 0.6, 0.4
    loss = losses.BalancedSymmetricCrossEntropy(prior=COUNTS, logit_bias=1.5, reduction='none',
                                                reverse_on=reverse_on)
    exact = z.astype(np.float64)
    log_prior = np.log(COUNTS / COUNTS.sum())
    raised = exact + 1.5 * q / 0.6 + (log_prior if reverse_on == 'adjusted' else 0)
    p_hat = np.exp(reference.log_softmax(raised))
    weights = COUNTS.sum() / (K * COUNTS)
    weight = 0.6 * weights[1] + 0.4 * weights[4] if reverse_on == 'weighted' else 1
    expected = (-0.4 * (q * reference.log_softmax(exact + log_prior)).sum(-1)
                - 0.7 * weight * (p_hat * np.log(np.maximum(q, np.exp(-4)))).sum(-1))
    np.testing.assert_allclose(loss(q, z), expected, rtol=1e-5)


@pytest.mark.parametrize('margin', [-1e4, -100.0, -20.0, 20.0, 100.0, 1e4])
@pytest.mark.parametrize('name', CASES)
def test_certain_and_hopeless_predictions_stay_finite(name, margin):
    make, arguments, _ = CASES[name]
    z = np.zeros((1, K), np.float32)
    z[0, 3] = margin
    for labels in ([3], np.eye(K)[[3]]):
        if name in SOFT or np.ndim(labels) == 1:
            for found in value_and_gradient(make(**arguments), labels, z):
                assert np.isfinite(found).all()


def test_a_label_firmly_disbelieved_pulls_no_more_than_one_that_is_learnt():
    classes = 1000
    prior = np.ones(classes)
    loss = losses.BalancedSymmetricCrossEntropy(alpha=0.0, prior=prior, logit_bias='auto')
    pulls = []
    for logit in (-10.0, 0.0, 30.0):
        z = np.zeros((1, classes), np.float32)
        z[0, 0] = logit
        pulls.append(-value_and_gradient(loss, [0], z)[1][0, 0])
    # At the start as with ten classes: β·|A|·0.1·0.9.
    assert pulls[1] == pytest.approx(0.7 * 4 * 0.1 * 0.9, rel=1e-4)
    assert max(pulls[0], pulls[2]) < 1e-3


def test_a_wide_prior_is_still_exact():
    prior = np.geomspace(1, 1e-30, K)
    y, z = problem()
    loss = losses.BalancedSymmetricCrossEntropy(prior=prior, reduction='none')
    np.testing.assert_allclose(
        loss(y, z), [reference.many(*pair, prior, bias=0.0)
                     for pair in zip(y, z.astype(np.float64), strict=True)], rtol=1e-5)


@pytest.mark.parametrize('policy', ['float32', 'mixed_float16', 'mixed_bfloat16'])
@pytest.mark.parametrize('name', CASES)
def test_a_model_trains_and_the_loss_comes_back_from_its_config(name, policy):
    make, arguments, _ = CASES[name]
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(K)])
    loss = make(**arguments, class_weights=WEIGHTS)
    model.compile('sgd', loss)
    y, _ = problem()
    x = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32) * 10
    assert np.isfinite(model.fit(x, y, epochs=2, verbose=0).history['loss']).all()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    np.testing.assert_allclose(again(y, model(x)), loss(y, model(x)))


@pytest.mark.parametrize(('make', 'arguments', 'message'), [
    (losses.FocalLoss, {'gamma': -1}, 'loss.focal_gamma: found -1'),
    (losses.GeneralisedCrossEntropy, {'q': 0}, 'loss.gce_q: found 0'),
    (losses.LDAMLoss, {'counts': [3, 0]}, 'counts: found 0 for class 1'),
    (losses.LDAMLoss, {'counts': [3, 1], 'scale': 1000}, 'ldam_scale·ldam_margin'),
    (losses.SeesawLoss, {'counts': [1, 1], 'label_smoothing': 0.1}, 'hard labels alone'),
    (losses.EarlyLearningLoss, {'counts': [1, 1], 'memory': 1}, 'loss.elr_memory: found 1'),
    (losses.EarlyLearningLoss, {'counts': [1, 1], 'strength': -1}, 'loss.elr_strength'),
    (losses.EarlyLearningLoss, {'counts': [1, 0]}, 'counts: found 0 for class 1'),
    (losses.SeesawLoss, {'counts': [1, 1], 'p': -1}, 'loss.seesaw_p'),
    (losses.NormalisedReverseCrossEntropy, {'log_zero': 0}, 'loss.log_zero'),
    (losses.BalancedSymmetricCrossEntropy, {'prior': [1, 0, 2]}, 'prior: found 0 for class 1'),
    (losses.BalancedSymmetricCrossEntropy, {'prior': [1, 1], 'tau': 11}, 'tau: found 11'),
    (losses.BalancedSymmetricCrossEntropy, {'logit_bias': 21}, 'loss.logit_bias: found 21'),
    (losses.BalancedSymmetricCrossEntropy, {'logit_bias': 'on'}, "loss.logit_bias: found 'on'"),
    (losses.BalancedSymmetricCrossEntropy, {'reverse_on': 'weighted'}, 'found weighted; expect'),
    (losses.BalancedSymmetricCrossEntropy, {'reverse_on': 'both'}, "reverse_on: found 'both'"),
    (losses.BalancedSymmetricCrossEntropy, {'alpha': 'by_name'}, 'alpha: found by_name'),
    (losses.BalancedSymmetricCrossEntropy, {'reverse_weights': [1, -1]}, 'reverse_weights: found'),
    (losses.FocalLoss, {'dtype': 'bfloat16'}, 'focal: found dtype bfloat16; expected float32 or')])
def test_bad_settings_are_named(make, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        make(**arguments)
    assert '\n' not in str(error.value)


def test_what_does_not_fit_the_labels_is_named():
    with pytest.raises(InputError, match='found seesaw with labels of shape'):
        losses.SeesawLoss(COUNTS)(np.eye(K), np.zeros((K, K)))
    with pytest.raises(ValueError, match=r'counts: found shape \(7,\); expected \(4,\)'):
        losses.LDAMLoss(COUNTS)([0], np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r'prior: found shape \(7,\); expected \(4,\)'):
        losses.BalancedSymmetricCrossEntropy(prior=COUNTS)([0], np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r'reverse_weights: found shape \(7,\); expected \(4,\)'):
        losses.BalancedSymmetricCrossEntropy(reverse_weights=COUNTS)([0], np.zeros((1, 4)))
