"""The vote, the measures and the open set against plain loops in float64 and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bsce_tf.index import measures, open_set, vote

RNG = np.random.default_rng(0)


def test_the_vote_is_the_equation():
    cosines = -np.sort(-RNG.uniform(-1, 1, (20, 6)).astype(np.float32))
    labels = RNG.integers(0, 4, (20, 6))
    cosines[3, 4:], labels[3, 4:] = -np.inf, -1
    found = vote.shares(cosines, labels, 0.07, 5)
    for i in range(20):
        weights = [math.exp(float(s) / 0.07) if s > -math.inf else 0.0 for s in cosines[i]]
        for c in range(5):
            own = sum(w for w, y in zip(weights, labels[i], strict=True) if y == c)
            assert found[i, c] == pytest.approx(own / sum(weights), abs=1e-6)
    assert not vote.shares(np.full((1, 2), -np.inf), np.full((1, 2), -1), 0.07, 5).any()


def test_the_two_are_joined_by_the_equation():
    votes, probabilities = RNG.dirichlet(np.ones(5), 7), RNG.dirichlet(np.ones(3), 7)
    found = vote.joined(votes, probabilities, 0.3)
    for i in range(7):
        for c in range(5):
            other = probabilities[i, c] if c < 3 else 0.0
            assert found[i, c] == pytest.approx(0.3 * votes[i, c] + 0.7 * other, abs=1e-6)
    np.testing.assert_allclose(vote.joined(votes, probabilities, 1.0), votes, atol=1e-7)


def test_average_precision_is_a_sum_over_ranks():
    same = RNG.random((50, 12)) < 0.4
    references = RNG.integers(1, 20, 50)
    found = measures.average_precision(same, references, 10)
    for i in range(50):
        limit, hits, total = min(references[i], 10), 0, 0.0
        for rank in range(1, limit + 1):
            if same[i, rank - 1]:
                hits += 1
                total += hits / rank
        assert found[i] == pytest.approx(total / limit)
    assert measures.average_precision(np.ones((1, 5), bool), np.array([3]), 10)[0] == 1


def test_recall_looks_at_the_first_neighbours():
    same = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
    assert measures.recall(same, 1).tolist() == [False, False, True]
    assert measures.recall(same, 2).tolist() == [True, False, True]


def test_auroc_is_that_of_scikit_learn():
    known, unknown = RNG.normal(1, 1, 300).round(1), RNG.normal(0, 1, 200).round(1)  # with ties
    expected = sklearn_metrics.roc_auc_score(np.r_[np.ones(300), np.zeros(200)],
                                             np.r_[known, unknown])
    assert open_set.auroc(known, unknown) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('rate', [0.0, 0.05, 0.1, 0.5, 0.999])
def test_the_threshold_is_the_smallest_that_keeps_the_rate(rate):
    unknown = RNG.normal(0, 1, 211).round(2).astype(np.float32)
    limit = open_set.threshold(unknown, rate)
    assert open_set.rates(unknown, unknown, limit)[0] <= rate
    below = np.nextafter(np.float32(limit), np.float32(-9))
    assert open_set.rates(unknown, unknown, below)[0] > rate
    assert open_set.threshold(unknown, 1.0) == -math.inf


def test_the_curve_is_of_true_thresholds():
    known, unknown = RNG.normal(1, 1, 400), RNG.normal(0, 1, 300)
    curve = open_set.curve(known, unknown)
    assert len(curve) <= open_set.POINTS
    for limit, accepts, rejects in curve:
        assert accepts == np.mean(unknown >= limit)
        assert rejects == np.mean(known < limit)
    assert [point[0] for point in curve] == sorted(point[0] for point in curve)
