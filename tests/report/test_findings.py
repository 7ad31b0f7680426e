"""The sentences at the top of a report: each by numbers that ask for it, and not without."""

from types import SimpleNamespace

import numpy as np
import pytest

from bsce_tf import recipes
from bsce_tf.report import findings, mistakes, predictions, report, scatter
from tests.report.report_page import check

NAMES = tuple('abcdefghij')


def run_of(labels, predicted, train, *, name='x', probability=0.5, history=(), evaluation=None,
           **fields):
    """A stand-in for `details.Detail` of ten classes."""
    config = recipes.defaults()
    config.update_from_flattened_dict(fields)
    said = predictions.Predictions(np.asarray(predicted, np.int32),
                                   np.full(len(labels), probability, np.float32),
                                   np.zeros(len(labels), np.float32), np.ones(len(labels), bool))
    classes = mistakes.by_class(labels, said, train)
    results = SimpleNamespace(name=name, history=list(history), evaluation=evaluation,
                              losses=[config.loss.name], config={},
                              run=SimpleNamespace(config=config, class_names=NAMES))
    answers = SimpleNamespace(predictions=said, split='test',
                              examples=SimpleNamespace(labels=labels, class_names=NAMES))
    return SimpleNamespace(results=results, classes=classes, answers=answers, split='test',
                           errors=mistakes.summary(classes))


LABELS = np.repeat(np.arange(10), 100)
EVEN = np.full(10, 500)


def wrong(shares, other=None):
    """Predictions in which so large a part of each class is `other`, or else the class after it."""
    predicted = LABELS.copy()
    for k, share in enumerate(shares):
        predicted[100 * k:100 * k + round(100 * share)] = (k + 1) % 10 if other is None else other
    return predicted


def text(sentences):
    return ' '.join(map(str, sentences))


def test_how_good_it_is_and_what_is_better_still():
    run = run_of(LABELS, wrong([0.2] * 10), EVEN, evaluation={'scales': {
        '30': {'mean_top1_error': 0.2}, '32': {'mean_top1_error': 0.21},
        'tta': {'mean_top1_error': 0.15}}})
    found = text(findings.good(run, False, {'vote': {'mean_top1_error': 0.125}, 'models': [1, 2]}))
    assert 'The mean top-1 error is 0.2000 on the test set' in found
    assert '80 get the right one of 10 classes; by guessing, 10 would' in found
    assert 'all 2 test scales averaged it is 0.1500' in found
    assert 'The vote of 2 models has 0.1250' in found
    assert 'x has the lowest mean top-1 error: 0.2000' in text(findings.good(run, True, None))


@pytest.mark.parametrize(('tail', 'told'), [(0.5, True), (0.12, False)])
def test_small_classes_are_worse_only_where_that_is_more_than_chance(tail, told):
    shares = [0.05, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, tail, tail + 0.1, tail - 0.1]
    run = run_of(LABELS, wrong(shares), np.arange(500, 0, -50), **{'loss.name': 'ce'})
    assert ('Classes with few training images are worse: the error of the third with 50 to 150'
            in text(findings.bad(run))) == told
    assert ('does not balance the classes. Compare loss.name = bsce_many'
            in text(findings.advice(run, []))) == told


@pytest.mark.parametrize(('fields', 'sentence'), [
    ({'loss.name': 'bsce'}, 'Compare sampler.gamma = 0.5 with loss.name = sce.'),
    ({'loss.name': 'bsce_many'}, 'Compare sampler.gamma = 0.5.'),
    ({'loss.name': 'ce', 'sampler.gamma': 1.0}, None), ({'loss.name': 'ldam'}, None),
    ({'loss.name': 'elr'}, 'The loss elr does not balance the classes.')])
def test_what_is_balanced_already_is_not_advised(fields, sentence):
    run = run_of(LABELS, wrong([0.0] * 7 + [0.5, 0.6, 0.5]), np.arange(500, 0, -50), **fields)
    found = text(findings.advice(run, []))
    assert sentence in found if sentence else 'Compare' not in found


def test_a_class_that_draws_others_is_named():
    run = run_of(LABELS, wrong([0.3] * 5 + [0.0] * 5, other=9), EVEN)
    assert '“j” attracts 100 % of all mistakes, from 5 other classes.' in text(findings.bad(run))
    assert 'The highest errors: “a” 0.3000 (100 images)' in text(findings.bad(run))
    each_its_own = run_of(LABELS, wrong([0.3] * 10), EVEN)
    assert 'attracts' not in text(findings.bad(each_its_own))


def test_small_and_bad_classes_are_to_be_photographed():
    train = np.array([500, 400, 300, 200, 100, 50, 20, 20, 7, 5])
    run = run_of(LABELS, wrong([0] * 6 + [0.9, 0, 0.5, 0.4]), train)
    assert 'Photograph more of “j” (5), “i” (7), “g” (20): ' in text(findings.advice(run, []))
    assert 'Photograph' not in text(findings.advice(run_of(LABELS, wrong([0.5] * 10), EVEN), []))


def epochs(validation, training):
    return [{'stage': 0.0, 'epoch': float(i), 'mean_top1_error': t, 'val_mean_top1_error': v}
            for i, (v, t) in enumerate(zip(validation, training, strict=True), 1)]


@pytest.mark.parametrize(('validation', 'training', 'words'), [
    ([0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5, ['still falling']),
    ([0.9, 0.5, 0.4, 0.4, 0.399], [0.35] * 5, []),
    ([0.9, 0.5, 0.4, 0.4, 0.4], [0.1] * 5, ['far below the validation error']),
    ([0.09, 0.05, 0.04, 0.04, 0.04], [0.01] * 5, []),
    ([0.9, 0.1], [0.5] * 2, [])])
def test_length_and_fit_by_the_curves(validation, training, words):
    run = run_of(LABELS, LABELS, EVEN, history=epochs(validation, training))
    found = text(findings.advice(run, []))
    for word in ('still falling', 'far below the validation error'):
        assert (word in found) == (word in words)


def test_confident_mistakes_ask_for_an_audit_unless_there_is_one():
    sure = run_of(LABELS, wrong([0.1] * 10), EVEN, probability=0.95)
    assert '100 of 100 mistakes on the test set have a probability of 0.9 or more' in text(
        findings.advice(sure, []))
    assert 'are their labels right' not in text(findings.advice(sure, ['an audit']))
    unsure = run_of(LABELS, wrong([0.1] * 10), EVEN, probability=0.6)
    assert findings.advice(unsure, []) == []


def test_the_best_run_is_meant_and_a_run_without_errors_has_none():
    runs = [run_of(LABELS, wrong([share] * 10), EVEN, name=name)
            for name, share in (('first', 0.3), ('second', 0.2))]
    assert 'second has the lowest mean top-1 error: 0.2000' in findings.section(runs, None, [])
    runs[0].errors = runs[1].errors = {}
    assert findings.section(runs, None, []) is None


def test_marks_of_classes_of_one_size_lie_side_by_side():
    aside = scatter.beside(np.array([9, 5, 5, 5, 1]), 3.6)
    assert aside[0] == aside[4] == 0
    assert aside[1:4] == pytest.approx([-7.2, 0, 7.2])
    many = scatter.beside(np.full(100, 7), 3.6)
    assert len(set(many)) == 100
    assert max(many) - min(many) < 24


def test_they_stand_first_on_the_page(stages, config):
    page = check(report.report(config, str(stages)))
    shown = page.text
    assert shown.index('Is it good?') < shown.index('Where is it bad?') < shown.index('Errors of')
    assert 'sampler γ = 0' in shown
