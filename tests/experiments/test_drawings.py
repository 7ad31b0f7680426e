import numpy as np

from bsce_tf.data.sources import arrays
from experiments import drawings


def test_sizes_fall_from_the_largest_to_five():
    counts = drawings.sizes(1000, 100)
    assert (counts[0], counts[-1]) == (100, 5)
    assert (np.diff(counts) <= 0).all()
    assert counts[500] in (22, 23)  # √(100 · 5) = 22.4


def test_products_differ_and_come_in_families():
    products = [drawings.product(k, 0) for k in range(800)]
    assert len({tuple(map(str, p.values())) for p in products}) == 800
    for first in range(0, 800, drawings.FAMILY):
        family = products[first:first + drawings.FAMILY]
        assert len({(p['shape'], p['body']) for p in family}) == 1
    assert drawings.product(7, 1) != products[7]


def test_pictures_follow_the_seed_and_show_their_class():
    first, second = (drawings.product(k, 0) for k in (0, 80))
    one, again, other, third = (np.asarray(drawings.draw(p, np.random.default_rng(seed)), float)
                                for p, seed in ((first, 1), (first, 1), (first, 2), (second, 1)))
    assert one.shape == (drawings.SIZE, drawings.SIZE, 3)
    assert (one == again).all()
    assert np.abs(one - other).mean() > 5
    middle = np.s_[12:28, 12:28]
    assert np.abs(one[middle] - third[middle]).mean() > 10


def test_what_is_written_can_be_trained_on(tmp_path):
    for _ in range(2):  # the second time nothing is to do
        drawings.write(tmp_path, 3, largest=8, smallest=2, test_images=6, seed=0)
    found = arrays.load(root=str(tmp_path))
    assert found.train.counts.tolist() == [8, 4, 2]
    assert found.test.counts.tolist() == [2, 2, 2]
    again = drawings.draw(drawings.product(0, 0), np.random.default_rng([0, 2, 0, 1]))
    np.testing.assert_array_equal(found.train.images[1], again)
    assert (found.train.images[0] != found.test.images[0]).any()
