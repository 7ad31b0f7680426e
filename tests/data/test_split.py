import hashlib

import numpy as np
import pytest

from bsce_tf.data.split import stratified_split
from bsce_tf.errors import InputError


def _long_tail(num_classes=300):
    counts = np.maximum(1, (400 * 0.98 ** np.arange(num_classes)).astype(int))
    return np.random.default_rng(3).permutation(np.repeat(np.arange(num_classes), counts))


def test_every_image_is_on_exactly_one_side():
    labels = _long_tail()
    train, validation = stratified_split(labels, 300, 0.1, seed=1)
    together = np.sort(np.concatenate([train, validation]))
    np.testing.assert_array_equal(together, np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()


@pytest.mark.parametrize('fraction', [0.01, 0.1, 1 / 3, 0.5])
def test_each_class_gives_its_share_to_within_one_image_and_keeps_one(fraction):
    labels = _long_tail()
    counts = np.bincount(labels, minlength=300)
    for seed in range(5):
        train, validation = stratified_split(labels, 300, fraction, seed)
        given = np.bincount(labels[validation], minlength=300)
        assert (np.abs(given - fraction * counts)[counts > 1] < 1).all()
        assert (np.bincount(labels[train], minlength=300)[counts > 0] >= 1).all()
        expected = (fraction * counts[counts > 1]).sum()
        assert abs(len(validation) - expected) <= 0.5 + 1e-6


@pytest.mark.parametrize('size', [2, 3, 4, 6, 14, 16])
def test_small_classes_of_equal_size_do_not_bias_the_total(size):
    """Rounding each class by itself would give 0 or 1000 images of classes of 4 or of 6."""
    labels = np.repeat(np.arange(1000), size)
    _, validation = stratified_split(labels, 1000, 0.1, seed=2)
    assert len(validation) == round(0.1 * len(labels))


def test_each_image_is_chosen_as_often_as_the_fraction_says():
    labels = np.repeat([0, 1, 2, 3], [3, 5, 8, 20])
    chosen = np.zeros(len(labels))
    runs = 4000
    for seed in range(runs):
        chosen[stratified_split(labels, 4, 0.25, seed)[1]] += 1
    spread = np.sqrt(0.25 * 0.75 / runs)
    np.testing.assert_allclose(chosen / runs, 0.25, atol=5 * spread)


def test_a_seed_repeats_its_split_and_another_seed_changes_it():
    labels = _long_tail()
    first = stratified_split(labels, 300, 0.2, seed=5)
    again = stratified_split(labels, 300, 0.2, seed=5)
    other = stratified_split(labels, 300, 0.2, seed=6)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_a_single_image_of_a_class_stays_in_training():
    labels = np.array([0] * 10 + [1] + [3] * 10)
    train, _ = stratified_split(labels, 4, 0.5, seed=0)
    assert 10 in train


@pytest.mark.parametrize(('labels', 'fraction', 'found'), [
    ([0, 0, 1, 1], 0.0, 'found 0.0'),
    ([0, 0, 1, 1], 0.6, 'found 0.6'),
    ([0, 0, 1, 1], float('nan'), 'found nan'),
    ([0, 0, 1, 1], 0.1, 'none of 4 images'),
    ([0, 1], 0.5, 'none of 2 images'),
    ([-1, -1], 0.5, 'label in 0 to 1'),
    ([0, 2], 0.5, 'label in 0 to 1'),
])
def test_says_what_is_wrong(labels, fraction, found):
    with pytest.raises(InputError, match=found):
        stratified_split(labels, 2, fraction)


@pytest.mark.parametrize(('seed', 'fraction', 'digest'), [
    (0, 0.1, 'ab59448d457a90e7'), (7, 1 / 3, '7b773c36a7714ac2'), (0, 0.5, '81a35b2d524ffdfe')])
def test_without_groups_a_split_is_that_of_earlier_versions(seed, fraction, digest):
    """Runs that were begun with them go on."""
    for groups in (None, np.random.default_rng(0).permutation(19809)):
        _, validation = stratified_split(_long_tail(), 300, fraction, seed, groups)
        assert hashlib.sha256(validation.astype('<i8').tobytes()).hexdigest()[:16] == digest


def _products(rng):
    """Groups of 1 to 8 images of one class, of classes with 5 to 200 groups."""
    groups_of_class = np.linspace(5, 200, 30).astype(int)
    sizes = rng.integers(1, 9, groups_of_class.sum())
    labels = np.repeat(np.repeat(np.arange(30), groups_of_class), sizes)
    return labels, np.repeat(rng.permutation(len(sizes)), sizes)


def _grouped(kind):
    rng = np.random.default_rng(4)
    if kind == 'one class each':
        labels, groups = _products(rng)
    elif kind == 'one class each, some labels wrong':
        labels, groups = _products(rng)
        wrong = rng.random(len(labels)) < 0.3
        labels = np.where(wrong, rng.integers(0, 30, len(labels)), labels)
    else:
        labels = rng.choice(30, 6000, p=np.arange(30, 0, -1) / 465)
        groups = rng.integers(0, 80, 6000)
    order = rng.permutation(len(labels))
    return labels[order], groups[order]


@pytest.mark.parametrize('kind', ['one class each', 'one class each, some labels wrong',
                                  'of all classes'])
def test_no_group_is_on_both_sides_and_classes_give_about_their_share(kind):
    labels, groups = _grouped(kind)
    counts = np.bincount(labels, minlength=30)
    for seed in range(3):
        train, validation = stratified_split(labels, 30, 0.2, seed, groups)
        assert sorted([*train, *validation]) == list(range(len(labels)))
        assert not set(groups[train]) & set(groups[validation])
        np.testing.assert_array_equal(
            validation, stratified_split(labels, 30, 0.2, seed, groups + 7)[1])
        given = np.bincount(labels[validation], minlength=30)
        assert (given < counts).all()
        assert abs(len(validation) / len(labels) - 0.2) < 0.02
        # Two or three of the largest groups off, at most
        assert (np.abs(given - 0.2 * counts) < 24).all()
        assert np.abs(given / counts - 0.2)[counts > 100].mean() < 0.03
    assert not np.array_equal(validation, stratified_split(labels, 30, 0.2, 9, groups)[1])


def test_small_classes_of_a_few_groups_give_some_as_often_as_their_share_says():
    """A class of 4 groups of 5 images should give 2, which no whole groups make."""
    labels, groups = np.repeat(np.arange(1000), 20), np.repeat(np.arange(4000), 5)
    _, validation = stratified_split(labels, 1000, 0.1, 0, groups)
    assert len(validation) == 2000
    assert (np.bincount(labels[validation], minlength=1000) <= 5).all()


def test_a_group_that_is_much_too_large_stays_in_training():
    labels = np.repeat([0, 1], 100)
    groups = np.where(np.arange(200) % 100 < 50, 1000 + labels, np.arange(200))
    for seed in range(20):
        _, validation = stratified_split(labels, 2, 0.1, seed, groups)
        assert (np.abs(np.bincount(labels[validation]) - 10) <= 2).all()


@pytest.mark.parametrize('fraction', [0.1, 0.5])
def test_no_class_leaves_training(fraction):
    """Classes in one group, alone (2) and beside others (3); classes of two groups (0, 1)."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 0, 3, 3, 0])
    groups = np.array([0, 0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6])
    for seed in range(50):
        try:
            train, validation = stratified_split(labels, 4, fraction, seed, groups)
        except InputError:
            assert fraction == 0.1
            continue
        assert set(labels[train]) == {0, 1, 2, 3}
        assert not {2, 3} & set(labels[validation])


def test_the_last_group_of_a_class_stays_where_its_others_went_with_other_classes():
    labels = np.array([1] * 8 + [1, 0, 1, 0] + [0, 0])
    groups = np.array([0] * 8 + [1, 1, 2, 2] + [3, 4])
    gone = 0
    for seed in range(20):
        train, validation = stratified_split(labels, 2, 0.5, seed, groups)
        assert set(labels[train]) == {0, 1}
        gone += set(groups[validation]) >= {1, 2}
    assert gone


def test_a_group_with_the_only_image_of_a_class_stays_in_training():
    """Four sessions of ten images of class 0; two of them have a class of their own beside it."""
    labels = np.array([*[0] * 10, 1, *[0] * 10, 2, *[0] * 10, 3, *[0] * 10, 3])
    groups = np.repeat(np.arange(4), 11)
    for seed in range(20):
        train, validation = stratified_split(labels, 4, 0.3, seed, groups)
        assert set(labels[train]) == {0, 1, 2, 3}
        assert set(groups[validation]) in ({2}, {3})


def test_groups_too_large_for_any_to_go_are_told():
    with pytest.raises(InputError, match='found 0.1, which leaves none of 40 images in 4 groups'):
        stratified_split(np.arange(40) % 10, 10, 0.1, 0, np.arange(40) // 10)
    _, validation = stratified_split(np.arange(40) % 10, 10, 0.2, 0, np.arange(40) // 10)
    assert len(validation) == 10
