import hashlib

import numpy as np
import pytest

from bsce_tf import recipes
from bsce_tf.audit import folds, out_of_sample, top_probabilities
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError


def test_folds_are_stratified_and_hold_no_class_out():
    labels = np.repeat(np.arange(5), [1, 2, 3, 40, 7])
    fold, predicted = folds.fold_of(labels, 5, 4, seed=1)
    np.testing.assert_array_equal(predicted, fold >= 0)
    assert fold[0] == -1
    assert (fold[1:] >= 0).all()
    counts = np.array([[(fold[labels == k] == i).sum() for i in range(4)] for k in range(5)])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert (counts.max(axis=1)[1:] < [2, 3, 40, 7]).all()
    assert (folds.fold_of(labels, 5, 4, seed=2)[0] != fold).any()
    with pytest.raises(InputError, match='audit.folds: found 3, and 2 images'):
        folds.fold_of(np.array([0, 0, 1]), 2, 3, seed=0)


def test_without_groups_folds_are_those_of_earlier_versions():
    counts = np.maximum(1, (400 * 0.98 ** np.arange(300)).astype(int))
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(300), counts))
    fold, _ = folds.fold_of(labels, 300, 5, 3)
    assert hashlib.sha256(fold.astype('<i8').tobytes()).hexdigest()[:16] == '90d50302234e0f75'


@pytest.mark.parametrize('wrong', [0.0, 0.3])
def test_no_group_is_in_two_folds_and_classes_are_spread(wrong):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 600)
    labels, groups = np.repeat(rng.integers(0, 10, 600), sizes), np.repeat(np.arange(600), sizes)
    labels = np.where(rng.random(len(labels)) < wrong, rng.integers(0, 10, len(labels)), labels)
    order = rng.permutation(len(labels))
    labels, groups = labels[order], groups[order]
    fold, predicted = folds.fold_of(labels, 10, 5, 0, groups)
    assert predicted.all()
    for group in range(600):
        assert len(set(fold[groups == group])) == 1
    counts = np.array([np.bincount(fold[labels == k], minlength=5) for k in range(10)])
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), 0.2, atol=0.04)
    assert (folds.fold_of(labels, 10, 5, 1, groups)[0] != fold).any()


def test_a_class_is_predicted_only_by_networks_that_know_it():
    """Class 2 is in one group alone, class 3 in one group beside others, class 4 in two."""
    labels = np.array([0] * 6 + [1] * 6 + [2, 2] + [3, 0] + [4, 0, 4, 1])
    groups = np.array([*range(6), *range(6, 12), 12, 12, 13, 13, 14, 14, 15, 15])
    for seed in range(20):
        fold, predicted = folds.fold_of(labels, 5, 3, seed, groups)
        assert (fold[12:14] == -1).all()
        assert not predicted[12:15].any()
        assert fold[14] == fold[15] >= 0
        assert predicted[15:].all()
        assert fold[16] == fold[17] != fold[18] == fold[19]
        for number in range(3):
            kept = set(labels[fold != number])
            assert set(labels[predicted & (fold == number)]) <= kept


def test_folds_are_trained_without_the_groups_that_they_predict(monkeypatch, tmp_path):
    config = recipes.load('smoke')
    config.audit.folds, config.audit.top_k = 2, 1
    paths = np.array([b'%d_%d' % (i // 3, i % 3) for i in range(60)])
    train = Examples(np.arange(60) // 30, ('a', 'b'), paths=paths,
                     groups=np.array([b'%d' % (i // 3) for i in range(60)]))
    trained, predicted = [], []

    def predict(_, run, folder, examples, title):
        predicted.append(examples)
        return top_probabilities.empty(len(examples), 1)
    monkeypatch.setattr(out_of_sample, '_train', lambda _, place, data: trained.append(data.train))
    monkeypatch.setattr(out_of_sample, '_predict', predict)
    monkeypatch.setattr(out_of_sample.workdir, 'read', lambda place: None)
    out_of_sample.by_folds(config, tmp_path, Splits(train, None, None))
    assert [len(part) for part in predicted] == [30, 30]
    for seen, unseen in zip(trained, predicted, strict=True):
        assert not set(seen.groups) & set(unseen.groups)
        assert len(seen) + len(unseen) == 60


def test_groups_that_fill_too_few_folds_are_told():
    with pytest.raises(InputError, match='found 5, and 3 groups of classes that have several, wh'):
        folds.fold_of(np.arange(30) % 2, 2, 5, 0, np.arange(30) // 10)
