"""How good networks are, on simulated predictions of which the truth is known."""

import types

import numpy as np
import pytest

from bsce_tf.audit import audit, quality, top_probabilities, transitions
from bsce_tf.data.examples import Examples

FIELDS = types.SimpleNamespace(score='self_confidence', rule='drop', threshold_factor=1000.0,
                               min_images_per_class=1)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def draw(rng, probabilities):
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


def predicted(classes, images, strength, seed=0):
    """(true classes, logits of a calibrated network): the truth is drawn from its softmax.

    It is surer of some images than of others, as networks are.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (images, classes))
    logits[np.arange(images), rng.integers(0, classes, images)] += strength * rng.uniform(
        0.2, 1.8, images)
    return np.minimum(draw(rng, softmax(logits)), classes - 1), logits


def flipped(rng, true, classes, share):
    wrong = rng.random(len(true)) < share
    return np.where(wrong, (true + rng.integers(1, classes, len(true))) % classes, true)


def measured(labels, probabilities, top_k=20, networks=None):
    size = probabilities.shape[1]
    sparse = top_probabilities.reduce(probabilities, labels, min(top_k, size))
    networks = np.zeros(len(labels), int) if networks is None else networks
    return sparse, networks, quality.measure(labels, sparse, networks, size)


def found(labels, probabilities, top_k=20):
    """The `audit.Result` of whole probabilities."""
    size = probabilities.shape[1]
    sparse, networks, _ = measured(labels, probabilities, top_k)
    images = Examples(labels, [str(k) for k in range(size)],
                      images=np.zeros((len(labels), 1, 1, 1), np.uint8))
    return audit.find(images, sparse, networks, FIELDS)


@pytest.mark.parametrize('share', [0.0, 0.1, 0.4])
@pytest.mark.parametrize('top_k', [30, 8])
def test_noise_temperature_and_own_error_are_found(share, top_k):
    true, logits = predicted(30, 6000, 7.0)
    labels = flipped(np.random.default_rng(1), true, 30, share)
    networks = np.arange(6000) % 2
    said = softmax(logits * np.where(networks == 0, 2.0, 0.5)[:, None])  # too sure, and too little
    _, _, told = measured(labels, said, top_k, networks)
    noise, low, high = told.noise
    really = (labels != true).mean()
    assert low - 1e-3 <= really <= high + 1e-3
    assert high - low < 0.05
    assert noise == pytest.approx(really, abs=0.02)
    assert [one['temperature'] for one in told.networks] == pytest.approx([2, 0.5], rel=0.2)
    own = (logits.argmax(axis=1) != true).mean()
    assert told.own_error == pytest.approx(own, abs=0.03)
    errors = [(said.argmax(axis=1) != labels)[networks == i].mean() for i in (0, 1)]
    assert [one['error'] for one in told.networks] == pytest.approx(errors)
    assert not told.weak
    assert told.wrong.mean() == pytest.approx(really, abs=0.03)
    probably = told.wrong >= 0.5
    if share:  # the probabilities are right where they say most
        assert (labels != true)[probably].mean() == pytest.approx(
            told.wrong[probably].mean(), abs=0.06)
    else:
        assert probably.mean() < 0.005


def test_a_clean_set_stays_whole_whether_networks_are_good_or_weak():
    for classes, images, strength, sharpness, weak in (
            (10, 5000, 7.0, 2.5, False), (80, 3000, 8.0, 3.0, False), (80, 1162, 5.0, 1.5, None),
            (80, 1162, 2.0, 4.0, True), (80, 1162, 0.0, 8.0, True), (10, 1000, 0.0, 3.0, True)):
        true, logits = predicted(classes, images, strength)
        result = found(true, softmax(sharpness * logits))
        case = classes, strength, result.quality.own_error
        assert result.decision.dropped.mean() <= 0.02, case
        if weak is not None:
            assert result.quality.weak == weak, case
        if result.quality.weak:
            assert not result.listed.any()
            assert np.isnan(result.rates).all()
        else:
            assert result.interval[0] < 0.005, case
            assert (result.rates * result.train.counts).sum() / images < 0.03


def test_wrong_labels_are_dropped_and_few_right_ones():
    true, logits = predicted(10, 6000, 7.0)
    labels = flipped(np.random.default_rng(1), true, 10, 0.3)
    result = found(labels, softmax(3 * logits))
    wrong = labels != true
    assert result.decision.dropped[wrong].mean() > 0.8
    assert result.decision.dropped[~wrong].mean() < 0.04
    assert result.interval[0] < wrong.mean() < result.interval[1]


def test_networks_that_do_not_know_a_class_drop_none_of_it():
    """Half of the classes are known, of the others only that they are of these."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(40), 30)
    logits = rng.normal(0, 1, (1200, 40)) + 12.0 * np.eye(40)[true]
    logits[true >= 20] = rng.normal(0, 3, (600, 40))
    result = found(true, softmax(logits))
    assert result.quality.known.tolist() == [True] * 20 + [False] * 20
    assert result.decision.dropped.mean() < 0.02


def test_labels_of_look_alikes_are_found():
    """A fifth of the images of class 0 are labelled 1, and no others are wrong."""
    true, logits = predicted(6, 6000, 6.0)
    rng = np.random.default_rng(1)
    labels = np.where((true == 0) & (rng.random(6000) < 0.2), 1, true)
    _, _, told = measured(labels, softmax(logits), networks=np.arange(6000) % 3)
    wrong = labels != true
    assert told.wrong[wrong].mean() > 0.5
    assert told.wrong[~wrong].mean() < 0.03
    assert told.wrong.mean() == pytest.approx(wrong.mean(), abs=0.02)


def test_transitions_are_those_of_whole_matrices():
    rng = np.random.default_rng(0)
    classes, images, noise = 7, 400, 0.2
    true, logits = predicted(classes, images, 4.0)
    labels, s = flipped(rng, true, classes, noise), softmax(logits)
    s[s < 0.02] = 0  # so that nothing is left out
    s = np.maximum(s, 0.04 * np.eye(classes)[labels])
    s /= s.sum(axis=1, keepdims=True)
    order = np.argsort(-s, axis=1)
    pairs = transitions.pairs(labels, order, np.take_along_axis(s, order, 1),
                              s[np.arange(images), labels])
    networks = rng.integers(0, 3, images)
    mine, likelihood = transitions.wrong(labels, networks, pairs, noise, classes)
    prior = np.full((classes, classes), 100 * noise / (classes - 1))
    np.fill_diagonal(prior, 100 * (1 - noise))
    rates = np.tile(0.1 / classes + (0.9 - 0.1 / classes) * np.eye(classes), (images, 1, 1))
    for _ in range(25):
        joint = np.stack([s[i] * rates[i, :, y] for i, y in enumerate(labels)])
        posterior = joint / joint.sum(axis=1, keepdims=True)
        alone = posterior[:, :, None] * np.eye(classes)[labels][:, None, :]
        others = np.stack([alone[networks != i].sum(axis=0) for i in networks]) + prior
        rates = others / others.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(mine, 1 - posterior[np.arange(images), labels], atol=1e-9)
    assert likelihood == pytest.approx(np.log(joint.sum(axis=1)).sum())


def test_images_without_a_prediction_count_nowhere():
    true, logits = predicted(10, 1000, 7.0)
    labels = flipped(np.random.default_rng(1), true, 10, 0.2)
    sparse, networks, whole = measured(labels, softmax(logits))
    more = top_probabilities.Sparse(*map(np.concatenate, zip(
        sparse, top_probabilities.empty(9, 10), strict=True)))
    told = quality.measure(np.append(labels, np.zeros(9, int)), more,
                           np.append(networks, np.full(9, -1)), 10)
    np.testing.assert_array_equal(told.wrong[:1000], whole.wrong)
    assert np.isnan(told.wrong[1000:]).all()
    assert told._replace(wrong=None, known=None) == whole._replace(wrong=None, known=None)
    nothing = quality.measure(labels[:9], top_probabilities.empty(9, 10), np.full(9, -1), 10)
    assert nothing.weak
    assert not nothing.networks
