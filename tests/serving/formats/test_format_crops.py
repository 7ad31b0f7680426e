"""Crops as matrix products are TensorFlow's resizing and a window."""

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data.view import View
from bsce_tf.serving.formats import crops


def image(height, width):
    coarse = np.random.default_rng(height).integers(0, 256, (height // 7 + 2, width // 7 + 2, 3))
    return tf.image.resize(coarse, (height, width)).numpy().astype(np.uint8)


def by_tensorflow(pixels, view, scale):
    size = np.array([scale, scale])
    if view.aspect == 'keep':
        shape = np.array(pixels.shape[:2])
        size = np.round(shape * (scale / shape.min())).astype(int)
    resized = tf.image.resize(pixels, size, antialias=view.antialias).numpy()
    top, left = (size - view.size) // 2
    return resized[top:top + view.size, left:left + view.size]


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('aspect', ['squash', 'keep'])
@pytest.mark.parametrize('shape', [(300, 211), (50, 64), (96, 401), (1, 7)])
def test_they_are_those_of_tf_image(shape, aspect, antialias):
    view = View(32, (32, 40, 97), aspect=aspect, antialias=antialias)
    pixels = image(*shape)
    if shape == (1, 7) and aspect == 'keep':
        pixels = image(3, 7)
    found = tf.function(lambda x: crops.centre(x, view))(tf.stack([pixels, 255 - pixels])).numpy()
    assert found.shape == (2, 3, 32, 32, 3)
    for i, scale in enumerate(view.scales):
        for n, values in enumerate((pixels, 255 - pixels)):
            exact = by_tensorflow(values, view, scale)
            assert np.abs(found[n, i] - exact).max() <= 0.5 + 0.01
            if min(shape) > 20:  # of few pixels many results lie half way between two numbers
                assert np.mean(found[n, i] != np.floor(exact + 0.5)) < 0.01


def test_grey_is_the_mean_of_the_channels():
    view = View(16, (20,), channels=1)
    pixels = image(40, 30)
    exact = by_tensorflow(pixels.astype(np.float64).mean(-1, keepdims=True), view, 20)
    assert np.abs(crops.centre(pixels[None], view)[0, 0] - exact).max() <= 0.51
