import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import recipes
from bsce_tf.data import view
from bsce_tf.data.view import View
from bsce_tf.errors import InputError


@pytest.mark.parametrize(('settings', 'field'), [
    ({'size': 7, 'scales': (8,)}, 'image.size'), ({'scales': ()}, 'image.scales'),
    ({'scales': (31,)}, 'image.scales'), ({'aspect': 'fit'}, 'image.aspect'),
    ({'crop': 'five'}, 'image.crop'), ({'area': (0.0, 1.0)}, 'image.area'),
    ({'area': (0.5, 1.1)}, 'image.area'), ({'area': (0.5, 0.4)}, 'image.area'),
    ({'aspect_ratio': (2, 1)}, 'image.aspect_ratio'),
    ({'aspect_ratio': (1, np.inf)}, 'image.aspect_ratio')])
def test_what_is_out_of_range_is_named(settings, field):
    with pytest.raises(InputError, match=field):
        View(**({'size': 32, 'scales': (32,)} | settings))


def test_a_config_tells_it():
    image = recipes.defaults().image
    image.size, image.scales, image.eval_scale, image.area = 32, (36, 40), 38, (0.5, 1.0)
    image.crop, image.aspect, image.antialias = 'random_resized', 'keep', True
    found = view.of(image, 1)
    assert found == View(32, (36, 40), 'random_resized', 'keep', True, 1, (0.5, 1.0), (0.75, 1.333))
    # two runs that differ in their training's crops alone share those of test time
    assert found.at([38]) == View(32, (38,), 'centre', 'keep', True, 1)
    assert found.at((38, 40)).shape == (2, 32, 32, 1)


def test_grey_and_colour_become_what_the_view_has():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    grey = View(32, (32,), channels=1).centre(rgb)
    np.testing.assert_array_equal(grey[0, ..., 0], np.floor(rgb.mean(-1) + 0.5))
    colour = View(32, (32,)).centre(tf.constant(rgb[..., :1]))
    np.testing.assert_array_equal(colour[0], rgb[..., [0, 0, 0]])
