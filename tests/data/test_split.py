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
