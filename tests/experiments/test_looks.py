"""The study of how much looking at labels is worth."""

import numpy as np
import pytest

from experiments import looks
from tests.review import audited


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """An audit whose networks know the true labels; those of `audited.WRONG` are wrong."""
    base = tmp_path_factory.mktemp('looks')
    images = audited.write_images(base / 'images')
    with pytest.MonkeyPatch.context() as patch:
        audited.write(audited.settings(images), base / 'audit', patch)
    return base / 'audit'


@pytest.mark.parametrize('name', looks.ORDERS)
def test_an_order_has_every_image_once_and_begins_with_wrong_ones(folder, name):
    found = looks.arrangement(name, folder, 3)
    assert sorted(found) == list(range(72))
    if name == 'random':
        np.testing.assert_array_equal(found, looks.arrangement(name, folder, 3))
        assert (found != looks.arrangement(name, folder, 4)).any()
    else:
        assert set(found[:len(audited.WRONG)]) == set(audited.WRONG)


def test_probabilities_are_whole_rows_of_what_the_networks_predicted(folder):
    found = looks.catalogue.read(folder, 'gain')
    dense = looks.dense(folder, found)
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(dense.argmax(1), audited.true_labels(found.train))
    kept = found.best[:, 0]
    np.testing.assert_allclose(dense[np.arange(72), kept], found.probabilities[:, 0], atol=1e-3)


def test_a_seed_is_made_before_the_next_and_the_table_compares_equal_seeds():
    wanted = looks.plan([0, 1], ['a'])
    assert wanted[0] == ('a', '-', '0', '0')
    assert [key[3] for key in wanted] == ['0'] * 13 + ['1'] * 13
    condition = next(iter(looks.CONDITIONS))
    found = {(condition, order, n, seed): {'mean_top1_error': value, 'found_wrong': '7'}
             for order, n, seed, value in (
                 ('-', '0', '0', '0.30'), ('-', '0', '1', '0.32'), ('gain', '500', '0', '0.20'),
                 ('gain', '500', '1', '0.23'), ('random', '2000', '0', '0.25'))}
    text = looks.markdown(found)
    assert f'| {condition} | gain | 0.3100 ± 0.0141 (2) | not run | 0.2150 ± 0.0212 (2) (7)' in text
    assert f'| {condition} | gain, 500 | nobody looks | -0.0950 [-0.1585, -0.0315] |' in text
    assert f'| {condition} | gain, 500 | random, 2,000 | -0.0500 (1) |' in text
    picture = looks.drawing(found, condition)
    assert 'gain, 0 images looked at: 0.3100 (runs: 2)' in picture
    assert 'gain, 500 images looked at: 0.2150 (runs: 2)' in picture
    assert looks.drawing(found, 'drawings1000-30') == ''
