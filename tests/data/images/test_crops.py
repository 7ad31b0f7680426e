"""Crops equal resizing and cutting, cover what they promise, and decode no more than needed."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.data.images import crops
from tests.data.pictures import encoded, picture


@pytest.mark.parametrize(('shape', 'aspect', 'antialias'), list(itertools.product(
    [(120, 160), (200, 90), (40, 50)], ('squash', 'keep'), [False, True])))
def test_centre_crops_equal_resize_and_cut(shape, aspect, antialias):
    image = np.asarray(picture(*shape, seed=1))
    scales, size = (48, 57, 64), 48
    found = crops.centre_crops(tf.constant(image), scales, size, aspect, antialias).numpy()
    assert found.shape == (3, size, size, 3)
    for scale, window in zip(scales, found, strict=True):
        height, width = (scale, scale) if aspect == 'squash' else (
            round(side * scale / min(shape)) for side in shape)
        resized = tf.image.resize(image, (height, width), antialias=antialias).numpy()
        top, left = (height - size) // 2, (width - size) // 2
        np.testing.assert_allclose(window, resized[top:top + size, left:left + size], atol=0.05)


def box_of(seed, shape=(120, 160), **options):
    return crops.multi_scale(tf.constant(shape), options.pop('scales', (60, 80)), 50, [seed, 7],
                             **options).numpy()


def test_multi_scale_takes_every_scale_and_place():
    boxes = np.stack([box_of(seed) for seed in range(400)])
    ratio = np.array([120, 160])
    heights = sorted(set(boxes[:, 2].round(3)))
    np.testing.assert_allclose(heights, [120 * 50 / 80, 120 * 50 / 60])
    small = boxes[boxes[:, 2] < 90]
    assert 150 < len(small) < 250
    offsets = small[:, :2] * 80 / ratio
    np.testing.assert_allclose(offsets, offsets.round(), atol=1e-3)
    assert set(offsets[:, 0].round()) == set(range(31))  # 0 … S − C, both ends
    np.testing.assert_array_equal(box_of(3), box_of(3))


def test_kept_aspect_gives_square_boxes():
    for seed in range(20):
        top, left, height, width = box_of(seed, (120, 360), aspect='keep')
        assert height == pytest.approx(width)
        assert 0 <= top <= top + height <= 120.01
        assert 0 <= left <= left + width <= 360.01
    assert max(box_of(seed, (120, 360), aspect='keep')[1] for seed in range(20)) > 200


def test_random_resized_keeps_to_its_ranges():
    draw = tf.function(lambda seed: crops.random_resized(
        tf.constant([300, 400]), (0.2, 0.6), (0.5, 2.0), tf.stack([seed, 1])))
    boxes = np.stack([draw(tf.constant(seed)).numpy() for seed in range(300)])
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 300).all()
    assert (left + width <= 400).all()
    area = height * width / (300 * 400)
    assert area.min() == pytest.approx(0.2, abs=0.02)
    assert area.max() == pytest.approx(0.6, abs=0.02)
    assert (width / height).min() == pytest.approx(0.5, abs=0.06)
    assert (width / height).max() == pytest.approx(2.0, abs=0.1)
    assert 0.4 < (np.log(width / height) > 0).mean() < 0.7


def test_random_resized_of_a_strip_is_central():
    box = crops.random_resized(tf.constant([10, 1000]), (0.9, 1.0), (0.5, 2.0), [0, 0]).numpy()
    np.testing.assert_array_equal(box, [0, 490, 10, 20])


@pytest.mark.parametrize('scale', [50, 64, 120, 300])
def test_resized_box_equals_resize_and_cut(scale):
    """Where the image grows; where it shrinks, it is the box of whole pixels that is resized."""
    image, size = np.asarray(picture(100, 100, 2)), 48
    offset = (scale - size) // 2
    box = np.array([offset, offset, size, size], np.float32) * 100 / scale
    if scale < 100:
        top, left, height, width = box.round().astype(int)
        wanted = tf.image.resize(image[top:top + height, left:left + width], (size, size)).numpy()
    else:
        resized = tf.image.resize(image, (scale, scale)).numpy()
        wanted = resized[offset:offset + size, offset:offset + size]
    found = crops.resize_box(tf.constant(image), tf.constant(box), size).numpy()
    np.testing.assert_allclose(found, wanted, atol=0.05)


ENCODINGS = {'JPEG': encoded(picture(200, 240)), 'PNG': encoded(picture(200, 240), 'PNG'),
             'small': encoded(picture(40, 50))}


@pytest.mark.parametrize(('name', 'size'), [('JPEG', 100), ('PNG', 100), ('small', 100),
                                            ('JPEG', 20)])
def test_crop_of_encoded_equals_crop_of_decoded(name, size):
    data, image = ENCODINGS[name], tf.io.decode_image(ENCODINGS[name], 3)

    def choose(shape):
        return crops.multi_scale(shape, (size + 20,), size, [1, 2])

    found = tf.function(lambda x: crops.crop_encoded(x, choose, size))(data).numpy()
    wanted = crops.resize_box(image, choose(image.shape[:2]), size, antialias=size == 20).numpy()
    assert found.shape == (size, size, 3)
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.abs(found - wanted).mean() < (3.0 if size == 20 else 2.0)


def test_turned_jpeg_is_cropped_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture(200, 240), exif=exif)
    plain = encoded(picture(200, 240).rotate(-90, expand=True))

    def crop(data):
        return crops.crop_encoded(
            data, lambda shape: crops.multi_scale(shape, (120,), 100, [1, 2]), 100).numpy()

    assert np.abs(crop(turned) - crop(plain)).mean() < 3
