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


def test_no_noise_and_all_noise():
    np.testing.assert_array_equal(corrupt.label_noise(LABELS, 10, 0), LABELS)
    assert (corrupt.label_noise(LABELS, 10, 1) != LABELS).all()


@pytest.mark.parametrize(('call', 'named'), [
    (lambda: corrupt.long_tail(LABELS, 10, 0.5), 'data.imbalance: found 0.5'),
    (lambda: corrupt.long_tail(LABELS, 10, float('nan')), 'data.imbalance'),
    (lambda: corrupt.long_tail(LABELS, 10, 1e6), 'leaves class 9 without images'),
    (lambda: corrupt.label_noise(LABELS, 10, 1.1), 'data.noise: found 1.1'),
    (lambda: corrupt.label_noise(LABELS, 10, -0.1), 'data.noise'),
    (lambda: corrupt.label_noise(LABELS, 10, 0.1, 'pairwise'), 'data.noise_kind'),
    (lambda: corrupt.label_noise(LABELS, 10, 0.1, 'asymmetric'), 'no pairs')])
def test_out_of_range_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()
