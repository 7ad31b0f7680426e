import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data.sampler import Sampler
from bsce_tf.errors import InputError

COUNTS = np.array([400, 150, 60, 20, 5, 1, 0, 90])
LABELS = np.random.default_rng(3).permutation(np.repeat(np.arange(8), COUNTS))


def draw(sampler, start, stop):
    return sampler(tf.range(start, stop, dtype=tf.int64)).numpy()


def test_every_epoch_without_gamma_is_a_permutation():
    sampler = Sampler(LABELS, 8, seed=5)
    n = len(LABELS)
    assert sampler.epoch_size == n
    epochs = [draw(sampler, e * n, (e + 1) * n) for e in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    for other in (epochs[1], draw(Sampler(LABELS, 8, seed=6), 0, n)):
        assert (epochs[0] != other).mean() > 0.9
        assert (LABELS[epochs[0]] != LABELS[other]).mean() > 0.5  # 0.63 by chance


def test_it_is_a_function_of_seed_and_position_only():
    whole = draw(Sampler(LABELS, 8, seed=5, gamma=0.5), 0, 3000)
    again = Sampler(LABELS, 8, seed=5, gamma=0.5)
    parts = [draw(again, a, b) for a, b in ((2000, 3000), (0, 7), (7, 2000))]
    np.testing.assert_array_equal(np.concatenate([parts[1], parts[2], parts[0]]), whole)
    in_graph = tf.function(again)(tf.range(3000, dtype=tf.int64))
    np.testing.assert_array_equal(in_graph, whole)


@pytest.mark.parametrize('gamma', [0.0, 0.3, 0.5, 1.0, 1.5])
@pytest.mark.parametrize('cap', [0, 50])
def test_classes_get_their_share_in_every_epoch(gamma, cap):
    sampler = Sampler(LABELS, 8, seed=1, gamma=gamma, cap=cap)
    kept = np.minimum(COUNTS, cap or 10**9)
    assert sampler.epoch_size == kept.sum()
    share = np.where(kept > 0, np.maximum(kept, 1.0) ** (1 - gamma), 0)
    expected = share / share.sum() * sampler.epoch_size
    for epoch in range(5):
        drawn = draw(sampler, epoch * sampler.epoch_size, (epoch + 1) * sampler.epoch_size)
        counts = np.bincount(LABELS[drawn], minlength=8)
        assert np.abs(counts - expected).max() < 1 + 1e-6
        for k in range(8):  # no image a second time before all of its class came once
            members = np.bincount(drawn[LABELS[drawn] == k], minlength=len(LABELS))[k == LABELS]
            assert not members.size or members.max() - members.min() <= 2


def test_chi_squared_of_classes_and_of_members():
    """The usual test of drawing by weight; 5 % points of χ² with 4 and 149 degrees of freedom."""
    labels = np.repeat(np.arange(5), [300, 100, 50, 20, 10])
    sampler = Sampler(labels, 5, seed=11, gamma=1.0)
    drawn = draw(sampler, 0, 48_000)
    counts = np.bincount(labels[drawn], minlength=5)
    assert ((counts - 9600) ** 2 / 9600).sum() < 9.488
    first = draw(Sampler(np.zeros(150, int), 1, seed=2, cap=1), 0, 15_000)
    members = np.bincount(first, minlength=150)
    assert ((members - 100) ** 2 / 100).sum() < 178.5


def test_positions_of_a_class_are_spread_over_the_epoch():
    """χ² of where in an epoch the images of one class come, over ten epochs and ten parts."""
    sampler = Sampler(LABELS, 8, seed=4)
    n = sampler.epoch_size
    labels = LABELS[draw(sampler, 0, 10 * n)].reshape(10, n)
    parts = np.array_split(labels == 1, 10, axis=1)
    observed = np.array([part.sum() for part in parts])
    expected = 1500 * np.array([part.shape[1] for part in parts]) / n
    assert ((observed - expected) ** 2 / expected).sum() < 16.92  # 5 % point, 9 degrees


def test_a_cap_visits_other_images_in_later_epochs():
    sampler = Sampler(np.zeros(100, int), 1, seed=9, cap=10)
    seen = draw(sampler, 0, 100)
    np.testing.assert_array_equal(np.sort(seen), np.arange(100))
    assert (seen != draw(sampler, 100, 200)).mean() > 0.9


@pytest.mark.parametrize(('settings', 'named'), [
    ({'gamma': -0.1}, 'gamma'), ({'gamma': float('nan')}, 'gamma'), ({'cap': -1}, 'cap')])
def test_bad_settings_are_named(settings, named):
    with pytest.raises(InputError, match=named):
        Sampler(LABELS, 8, **settings)


def test_labels_out_of_range_are_refused():
    for labels in ([0, 8], [-1, -1], []):
        with pytest.raises(InputError, match='0 to 7'):
            Sampler(labels, 8)
