"""Confident learning on sparse probabilities against cleanlab, which needs all of them."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, estimate_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from bsce_tf.audit import cleaning, confident, top_probabilities

CLASSES = 10


def _data(seed=0, images=3000, sharpness=2.5):
    """Noisy labels of unequal classes, and softmax probabilities that mostly know the true ones."""
    rng = np.random.default_rng(seed)
    share = 0.7 ** np.arange(CLASSES)
    true = rng.choice(CLASSES, images, p=share / share.sum())
    true[:CLASSES] = np.arange(CLASSES)
    wrong = rng.random(images) < 0.3
    labels = np.where(wrong, (true + rng.integers(1, CLASSES, images)) % CLASSES, true)
    logits = rng.normal(0, 1, (images, CLASSES)) + sharpness * np.eye(CLASSES)[true]
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def _sparse(labels, probabilities, top_k):
    """In batches, as they come from a network."""
    parts = [top_probabilities.reduce(probabilities[i:i + 700], labels[i:i + 700], top_k)
             for i in range(0, len(labels), 700)]
    return top_probabilities.Sparse(*map(np.concatenate, zip(*parts, strict=True)))


def _found(labels, sparse):
    limits = confident.thresholds(labels, sparse.given, CLASSES)
    return limits, confident.guess(labels, sparse, limits)


@pytest.mark.parametrize('top_k', [CLASSES, 6, 2])
@pytest.mark.parametrize('method', confident.SCORES)
def test_scores_are_those_of_cleanlab(method, top_k):
    labels, probabilities = _data()
    sparse = _sparse(labels, probabilities, top_k)
    limits, _ = _found(labels, sparse)
    np.testing.assert_allclose(limits, get_confident_thresholds(labels, probabilities), rtol=1e-5)
    mine = confident.scores(labels, sparse, limits, method)
    adjusted = method.startswith('adjusted')
    theirs = get_label_quality_scores(
        labels, probabilities, adjust_pred_probs=adjusted,
        method='normalized_margin' if method.endswith('margin') else 'self_confidence')
    if method == 'adjusted_margin' and top_k < CLASSES:  # the one that is not exact: never lower
        assert (mine >= theirs - 1e-5).all()
        assert (np.abs(mine - theirs) < 1e-5).mean() > (0.9 if top_k == 6 else 0.3)
    else:
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(('top_k', 'sharpness'), [(CLASSES, 2.5), (CLASSES, 0.5), (7, 2.5)])
def test_joint_noise_and_issues_are_those_of_cleanlab(top_k, sharpness):
    labels, probabilities = _data(sharpness=sharpness)
    sparse = _sparse(labels, probabilities, top_k)
    _, found = _found(labels, sparse)
    assert found.uncertain == 0
    joint = confident.joint(labels, found.classes, CLASSES)
    dense = np.zeros((CLASSES, CLASSES), int)
    dense[joint.given, joint.guessed] = joint.counts
    theirs = compute_confident_joint(labels, probabilities, calibrate=False)
    np.testing.assert_array_equal(dense, theirs)
    rates = confident.noise_rates(joint, CLASSES)
    expected = estimate_joint(labels, probabilities, confident_joint=theirs)
    wrong = rates - (1 - expected.diagonal() / expected.sum(axis=1))
    assert (np.abs(wrong) * np.bincount(labels) <= 1).all()  # cleanlab rounds to whole images
    mine = confident.issues(labels, sparse, found.classes)
    np.testing.assert_array_equal(
        mine, find_label_issues(labels, probabilities, filter_by='confident_learning', n_jobs=1))
    assert mine.any()


def test_the_ranking_of_the_issues_is_that_of_cleanlab():
    labels, probabilities = _data(3)
    sparse = _sparse(labels, probabilities, 5)
    limits, found = _found(labels, sparse)
    marked = confident.issues(labels, sparse, found.classes)
    listed = np.flatnonzero(marked)
    scores = confident.scores(labels, sparse, limits, 'self_confidence')
    theirs = find_label_issues(labels, probabilities, filter_by='confident_learning', n_jobs=1,
                               return_indices_ranked_by='self_confidence')
    assert set(listed) == set(theirs)
    mine = listed[np.argsort(scores[listed], kind='stable')]
    np.testing.assert_allclose(scores[mine], scores[theirs], atol=1e-6)
    suggested = confident.suggestions(labels, sparse)
    np.testing.assert_array_equal(suggested[listed], probabilities[listed].argmax(axis=1))


def test_too_few_classes_are_counted_as_uncertain():
    labels, probabilities = _data(sharpness=0.5)
    _, whole = _found(labels, _sparse(labels, probabilities, CLASSES))
    _, cut = _found(labels, _sparse(labels, probabilities, 2))
    changed = int((whole.classes != cut.classes).sum())
    assert 0 < changed <= cut.uncertain


def test_images_without_probabilities_count_nowhere():
    labels, probabilities = _data(images=500)
    sparse = _sparse(labels, probabilities, 4)
    more = top_probabilities.empty(20, 4)
    joined = top_probabilities.Sparse(*map(np.concatenate, zip(sparse, more, strict=True)))
    extended = np.concatenate([labels, np.zeros(20, int)])
    limits, found = _found(extended, joined)
    before, same = _found(labels, sparse)
    np.testing.assert_array_equal(limits, before)
    np.testing.assert_array_equal(found.classes[:500], same.classes)
    assert (found.classes[500:] == -1).all()
    assert not confident.issues(extended, joined, found.classes)[500:].any()


def test_a_class_without_images_is_never_guessed():
    labels, probabilities = _data()
    labels = np.where(labels == 9, 0, labels)
    limits, found = _found(labels, _sparse(labels, probabilities, CLASSES))
    np.testing.assert_allclose(limits, get_confident_thresholds(labels, probabilities), rtol=1e-5)
    assert not (found.classes == 9).any()


@pytest.mark.parametrize('rule', cleaning.RULES)
def test_the_least_suspicious_images_of_every_class_stay(rule):
    labels = np.array([0] * 8 + [1] * 4 + [2] * 2)
    issues = np.array([1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1], bool)
    scores = np.array([.1, .9, .2, .8, .3, .7, .4, 1, .5, .4, 1, 1, .1, .2])
    decision = cleaning.decide(labels, issues, scores, np.full(14, 2), np.arange(14) % 2 == 0, 3,
                               rule, least=3)
    leaving = [0, 2, 4, 6, 5, 9]  # of class 0 all but 3, of class 1 the worse one, of class 2 none
    changed = decision.dropped | (decision.labels != labels)
    assert np.flatnonzero(changed).tolist() == sorted(leaving)
    if rule == 'drop':
        assert (decision.labels == labels).all()
    else:
        assert np.flatnonzero(decision.dropped).tolist() == [5, 9]
        assert (decision.labels[[0, 2, 4, 6]] == 2).all()
    sums = cleaning.group_sums(labels, {'head': [0], 'others': [1, 2]}, 3,
                               {'dropped': decision.dropped})
    assert sums['head'] == {'classes': 1, 'images': 8, 'dropped': decision.dropped[:8].sum()}
    assert sums['others'] == {'classes': 2, 'images': 6, 'dropped': decision.dropped[8:].sum()}


def test_the_arithmetic_needs_no_tensorflow():
    code = ("import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; "
            'from bsce_tf.audit import cleaning, confident, top_probabilities')
    subprocess.run([sys.executable, '-c', code], check=True,
                   cwd=pathlib.Path(__file__).parents[2])
