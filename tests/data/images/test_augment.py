"""Augmentation: ranges, randomness from the seed alone, and labels that follow the pixels."""

import builtins
import collections

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data.images import augment, mixing
from bsce_tf.data.images.augment import Augmentation
from bsce_tf.errors import InputError
from tests.data.pictures import picture

IMAGE = tf.constant(np.asarray(picture(48, 48)))


def seeds(number):
    return lambda name: tf.constant([number, len(name)], tf.int64)


def test_nothing_asked_for_changes_nothing():
    np.testing.assert_array_equal(augment.build(augment.NONE)(IMAGE, seeds(0)), IMAGE)


def test_flips_half_of_the_images():
    apply = tf.function(lambda n: augment.flip(IMAGE, tf.stack([n, 5])))
    flipped = 0
    for number in range(200):
        image = apply(tf.constant(number)).numpy()
        mirrored = (image == IMAGE.numpy()[:, ::-1]).all()
        assert mirrored or (image == IMAGE.numpy()).all()
        flipped += mirrored
    assert 70 < flipped < 130


def test_colour_jitter_without_strength_is_the_identity():
    np.testing.assert_allclose(augment.colour_jitter(IMAGE, [1, 2]).numpy().astype(int), IMAGE,
                               atol=1)


def test_brightness_multiplies():
    grey = tf.fill([8, 8, 3], tf.constant(100, tf.uint8))
    values = [int(augment.colour_jitter(grey, [i, 0], brightness=0.4)[0, 0, 0]) for i in range(99)]
    assert 60 <= min(values) < 66
    assert 134 < max(values) <= 140


def test_contrast_and_saturation_keep_the_mean_grey_and_hue_keeps_luma():
    image = tf.cast(tf.cast(IMAGE, tf.float32) * 0.4 + 75, tf.uint8)  # far from being clipped
    luma = tf.constant([0.299, 0.587, 0.114])

    def grey(pixels):
        return tf.tensordot(tf.cast(pixels, tf.float32), luma, 1).numpy()

    for number in range(5):
        changed = augment.colour_jitter(image, [number, 0], contrast=0.3)
        assert grey(changed).mean() == pytest.approx(grey(image).mean(), abs=0.7)
        for kind in ({'saturation': 0.5}, {'hue': 0.1}):
            changed = augment.colour_jitter(image, [number, 1], **kind)
            np.testing.assert_allclose(grey(changed), grey(image), atol=1.5)
    assert np.abs(changed.numpy().astype(int) - image.numpy()).mean() > 1


def test_erasing_takes_its_share_and_its_probability():
    black = tf.zeros([60, 60, 3], tf.uint8)
    apply = tf.function(lambda n: augment.erase(black, tf.stack([n, 3]), 0.5))
    erased = [(apply(tf.constant(n)).numpy().any(-1)) for n in range(200)]
    shares = np.array([image.mean() for image in erased if image.any()])
    assert 70 < len(shares) < 130
    assert shares.min() < 0.06
    assert 0.25 < shares.max() <= 0.35
    image = next(image for image in erased if image.any())
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert image.sum() >= 0.98 * len(rows) * len(columns)  # one full rectangle


POLICIES = (Augmentation(flip=False, policy='randaugment', num_layers=2, magnitude=9),
            Augmentation(flip=False, policy='autoaugment'))


@pytest.mark.parametrize('settings', POLICIES, ids=lambda a: a.policy)
def test_policies_are_functions_of_the_seed(settings):
    pytest.importorskip('official', reason="needs pip install 'bsce-tf[augment]'")
    """Two passes in different orders give identical images, and seeds differ."""
    apply = augment.build(settings)

    step = tf.function(lambda n: apply(IMAGE, lambda name: tf.stack([n, 7])))

    def images(numbers):
        return {int(n): step(tf.constant(n, tf.int64)).numpy() for n in numbers}

    first, second = images(range(60)), images(reversed(range(60)))
    for number, image in first.items():
        assert image.shape == IMAGE.shape
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, second[number])
    assert len({image.tobytes() for image in first.values()}) > 25
    changed = [not np.array_equal(image, IMAGE) for image in first.values()]
    assert np.mean(changed) > 0.5


def test_missing_library_is_one_clear_line(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.startswith('official'):
            raise ImportError('No module named official')
        return original(name, *rest)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(InputError, match=r"pip install 'bsce-tf\[augment\]'"):
        augment.build(Augmentation(policy='randaugment'))
    augment.build(Augmentation(flip=True, erasing=0.5, hue=0.1))  # needs no library


@pytest.mark.parametrize(('mixup', 'cutmix'), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixed_labels_follow_the_pixels(mixup, cutmix):
    """One image black, one white: the mean says how much of each there is."""
    images = tf.stack([tf.zeros([40, 40, 3], tf.uint8), tf.fill([40, 40, 3], tf.constant(
        255, tf.uint8))])
    apply = tf.function(lambda n: mixing.mix(images, tf.constant([3, 5]), tf.stack([n, 0]), mixup,
                                             cutmix))
    kinds, shares = collections.Counter(), []
    for number in range(60):
        mixed, labels, share = apply(tf.constant(number, tf.int64))
        np.testing.assert_array_equal(labels, [[3, 5], [5, 3]])
        white = mixed.numpy().mean((1, 2, 3)) / 255
        np.testing.assert_allclose([1 - white[0], white[1]], share, atol=0.003)
        kinds[set(np.unique(mixed)) <= {0, 255}] += 1
        shares.append(float(share[0]))
        soft = mixing.soft_labels(labels, share, 7).numpy()
        np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(soft[0, [3, 5]], [share[0], 1 - share[0]], atol=1e-6)
    assert np.ptp(shares) > 0.7
    if mixup and cutmix:
        assert min(kinds[True], kinds[False]) > 10


def test_same_seed_mixes_the_same():
    pair = tf.stack([IMAGE, IMAGE[::-1]])
    first, second = (mixing.mix(pair, tf.constant([0, 1]), [3, 4], 0.4, 1.0) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(('field', 'value'), [
    ('brightness', -0.1), ('contrast', 2), ('hue', 0.6), ('magnitude', 11), ('num_layers', 0),
    ('erasing', 1.5), ('mixup', -1), ('cutmix', float('inf')), ('policy', 'trivial'),
    ('saturation', float('nan'))])
def test_bad_fields_are_named(field, value):
    with pytest.raises(InputError, match=f'augment.{field}'):
        Augmentation(**{field: value})


def test_unknown_policy_is_named():
    pytest.importorskip('official', reason="needs pip install 'bsce-tf[augment]'")
    with pytest.raises(InputError, match='augment.autoaugment_policy.*reduced_imagenet'):
        augment.build(Augmentation(policy='autoaugment', autoaugment_policy='best'))
