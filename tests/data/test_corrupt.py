import numpy as np
import pytest

from bsce_tf.data import corrupt
from bsce_tf.errors import InputError

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 600))


def test_long_tail_falls_geometrically():
    kept = corrupt.long_tail(LABELS, 10, 50, seed=1)
    counts = np.bincount(LABELS[kept])
    np.testing.assert_array_equal(counts, np.round(600 * 50 ** (-np.arange(10) / 9)))
    assert counts[0] / counts[-1] == 50
    assert len(np.unique(kept)) == len(kept)
    np.testing.assert_array_equal(kept, corrupt.long_tail(LABELS, 10, 50, seed=1))
    assert not np.array_equal(kept, corrupt.long_tail(LABELS, 10, 50, seed=2))
    assert len(corrupt.long_tail(LABELS, 10, 1)) == len(LABELS)


def test_symmetric_noise_is_exact_and_uniform_over_the_others():
    noisy = corrupt.label_noise(LABELS, 10, 0.3, seed=1)
    wrong = noisy != LABELS
    assert all(wrong[k == LABELS].sum() == 180 for k in range(10))
    shifts = np.bincount((noisy - LABELS)[wrong] % 10, minlength=10)
    assert shifts[0] == 0
    assert ((shifts[1:] - 200) ** 2 / 200).sum() < 15.51  # 5 % point of χ², 8 degrees


def test_asymmetric_noise_swaps_pairs_both_ways_and_leaves_the_rest():
    pairs = corrupt.PAIRS['fashion_mnist']
    noisy = corrupt.label_noise(LABELS, 10, 0.2, 'asymmetric', pairs, seed=1)
    partner = dict(pairs) | {b: a for a, b in pairs}
    for k in range(10):
        given, counts = np.unique(noisy[k == LABELS], return_counts=True)
        if k in partner:
            assert dict(zip(given, counts, strict=True)) == {k: 480, partner[k]: 120}
        else:
            assert list(given) == [k]


def test_proportional_noise_goes_to_classes_by_their_size():
    sizes = np.array([4000, 2000, 1000, 500, 1])
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), sizes))
    noisy = corrupt.label_noise(labels, 5, 0.4, 'proportional', seed=1)
    found = np.zeros((5, 5), int)
    np.add.at(found, (labels, noisy), 1)
    wrong = found.sum(1) - np.diag(found)
    np.testing.assert_array_equal(wrong, [1600, 800, 400, 200, 0])  # of one image none
    off = np.array([[wrong[i] * sizes[j] / (7501 - sizes[i]) if i != j else 0.0
                     for j in range(5)] for i in range(5)])
    usual = off > 5
    assert ((found - off)[usual] ** 2 / off[usual]).sum() < 21.03  # 5 % point of χ²: 12 cells


def test_proportional_noise_leaves_class_sizes_as_they_are_where_none_prevails():
    sizes = np.round(400 * 100 ** (-np.arange(500) / 499)).astype(int)
    labels = np.repeat(np.arange(500), sizes)
    noisy = corrupt.label_noise(labels, 500, 0.3, 'proportional', seed=1)
    given = np.bincount(noisy, minlength=500)
    spread = np.sqrt(0.3 * sizes)  # of what each receives
    assert (np.abs(given - sizes) < 5 * spread + 2).all()
    assert np.abs(given[:100].sum() / sizes[:100].sum() - 1) < 0.02
    assert np.abs(given[400:].sum() / sizes[400:].sum() - 1) < 0.12
    symmetric = np.bincount(corrupt.label_noise(labels, 500, 0.3, seed=1), minlength=500)
    assert symmetric[400:].sum() / sizes[400:].sum() > 4  # which buries the tail


def test_proportional_noise_is_right_in_total_where_classes_are_small():
    labels = np.repeat(np.arange(1000), 4)  # 0.4 wrong images a class
    noisy = corrupt.label_noise(labels, 1000, 0.1, 'proportional', seed=2)
    assert (noisy != labels).sum() == 400
    assert np.bincount(labels[noisy != labels]).max() == 1
    everything = corrupt.label_noise(labels, 1000, 1.0, 'proportional')
    assert (everything != labels).sum() == 3000  # one of four keeps its label


def test_no_noise_and_all_noise():
    np.testing.assert_array_equal(corrupt.label_noise(LABELS, 10, 0), LABELS)
    assert (corrupt.label_noise(LABELS, 10, 1) != LABELS).all()


@pytest.mark.parametrize(('call', 'named'), [
    (lambda: corrupt.long_tail(LABELS, 10, 0.5), 'data.imbalance: found 0.5'),
    (lambda: corrupt.long_tail(LABELS, 10, float('nan')), 'data.imbalance'),
    (lambda: corrupt.long_tail(LABELS, 10, 1e6), 'leaves class 9 without images'),
    (lambda: corrupt.long_tail([0] * 9 + [1] + [2] * 9, 3, 30, class_names=('a', 'b', 'c')),
     "leaves class 'c' without images, as class 'b' has 1; expected a smaller number"),
    (lambda: corrupt.long_tail([0, 0, 2, 2], 3, 2, class_names=('a', 'b', 'c')),
     "leaves class 'c' without images, as class 'b' has 0; expected images of every class"),
    (lambda: corrupt.label_noise(LABELS, 10, 1.1), 'data.noise: found 1.1'),
    (lambda: corrupt.label_noise(LABELS, 10, -0.1), 'data.noise'),
    (lambda: corrupt.label_noise(LABELS, 10, 0.1, 'pairwise'), 'data.noise_kind'),
    (lambda: corrupt.label_noise(LABELS, 10, 0.1, 'asymmetric'), 'no pairs'),
    (lambda: corrupt.label_noise(np.zeros(5, int), 10, 0.1, 'proportional'), 'one class alone')])
def test_out_of_range_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()
