"""The n-th example of a run is the same whatever the batch, the worker and the start."""

import time

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data import loading, pipeline
from bsce_tf.data.examples import Examples
from bsce_tf.data.images import crops
from bsce_tf.data.images.augment import Augmentation
from bsce_tf.data.reading import records
from bsce_tf.data.sampler import Sampler
from bsce_tf.data.view import View
from bsce_tf.errors import InputError
from tests.data.pictures import encoded, picture

SIZE = 32
VIEW = View(SIZE, (36, 44), 'multi_scale')
CENTRE = VIEW.at((40,))
EVERYTHING = Augmentation(flip=True, vertical_flip=True, brightness=0.3, hue=0.05, erasing=0.5,
                          mixup=0.4, cutmix=1.0)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """24 JPEGs of 3 classes."""
    folder = tmp_path_factory.mktemp('images')
    names = [f'{i:02d}.jpg' for i in range(24)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(encoded(picture(60 + i, 80, seed=i)))
    return Examples(np.arange(24) % 3, 'abc', paths=np.array(names, 'S'), root=str(folder))


def packed(files):
    reader = records.of(files)
    return Examples(files.labels, files.class_names, records=reader)


def sampler(examples):
    return Sampler(examples.labels, examples.num_classes, seed=3)


def run(examples, images, batch_size, view=VIEW, **options):
    """The next `images` examples, joined: pixels and labels."""
    batches = pipeline.training(examples, sampler(examples), view, batch_size=batch_size, seed=5,
                                **options)
    share = batch_size // options.get('shard', (0, 1))[1]
    taken = list(batches.take(images // share).as_numpy_iterator())
    assert all(len(part[0]) == share for part in taken)
    return tuple(np.concatenate(part) for part in zip(*taken, strict=True))


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_have_the_promised_form(files):
    images, labels = run(files, 24, 8)
    assert images.shape == (24, SIZE, SIZE, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    assert sorted(labels) == sorted(files.labels)  # an epoch: every example once


def test_nothing_depends_on_batch_start_or_worker(files):
    options = {'augmentation': EVERYTHING}
    whole = run(files, 16, 8, **options)
    assert whole[1].shape == (16, 3)
    assert whole[1].dtype == np.float32
    assert_same(run(files, 8, 4, start=2, **options), [part[8:] for part in whole])
    second = run(files, 4, 8, start=1, shard=(1, 2), **options)
    assert_same(second, [part[12:] for part in whole])


def test_the_same_image_is_cropped_anew_at_every_position():
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    examples = Examples(np.zeros(24, int), 'ab', images=np.repeat(image, 24, axis=0))
    images, _ = run(examples, 48, 8)  # two epochs; scales have 5² and 13² places
    assert len({image.tobytes() for image in images}) > 30


def test_batches_come_in_order_though_their_images_take_unequally_long():
    def slow_at_first(i):
        return tf.py_function(lambda i: time.sleep(0.3 * float(i == 0)) or i, [i], tf.int64)

    found = loading.finished(loading.on_cores(tf.data.Dataset.range(8), slow_at_first))
    assert [int(i) for i in found] == list(range(8))


def test_no_tuner_delays_the_end(files):
    kinds = (pipeline.training(files, sampler(files), VIEW, batch_size=8),
             pipeline.evaluation(files, [CENTRE], 8))
    assert [batches.options().autotune.enabled for batches in kinds] == [False, False]


def test_records_give_what_files_give(files):
    one, other = (run(examples, 16, 8) for examples in (files, packed(files)))
    assert_same(one, other)
    kinds = [pipeline.evaluation(examples, [CENTRE], 10) for examples in (files, packed(files))]
    for one, other in zip(*kinds, strict=True):
        assert_same(one[0], other[0])
        assert_same(one[1:], other[1:])


def test_evaluation_takes_every_image_once_in_order(files):
    batches = list(pipeline.evaluation(files, [CENTRE], 10))
    labels = [batch.labels for batch in batches]
    assert [len(part) for part in labels] == [10, 10, 4]
    np.testing.assert_array_equal(np.concatenate(labels), files.labels)
    first = tf.io.decode_jpeg(records.of(files).read([0])[0], dct_method='INTEGER_ACCURATE')
    wanted = crops.to_uint8(crops.centre_crops(first, (40,), SIZE)[0])
    np.testing.assert_array_equal(batches[0].crops[0][0, 0], wanted)


def test_random_resized_crop(files):
    images, _ = run(files, 8, 8, View(SIZE, (), 'random_resized', area=(0.3, 1.0)))
    assert images.shape == (8, SIZE, SIZE, 3)
    assert len({image.tobytes() for image in images}) == 8


def test_grey_images_in_memory():
    examples = Examples([0, 1], 'ab', images=np.full((2, 28, 28, 1), 77, np.uint8))
    images, _ = run(examples, 4, 2)
    assert images.shape == (4, SIZE, SIZE, 1)
    assert (images == 77).all()
    with pytest.raises(InputError, match='1 channels'):
        run(examples, 4, 2, augmentation=Augmentation(hue=0.1))


@pytest.mark.parametrize(('options', 'field'), [
    ({'batch_size': 6, 'shard': (0, 4)}, 'batch_size'),
    ({'batch_size': 3, 'augmentation': Augmentation(cutmix=1.0)}, 'batch_size'),
    ({'batch_size': 4, 'view': CENTRE}, 'image.crop')])
def test_bad_arguments_are_named(files, options, field):
    with pytest.raises(InputError, match=field):
        pipeline.training(files, sampler(files), **({'view': VIEW} | options))


def test_a_batch_has_a_known_size(files):
    """Several devices of a worker divide it."""
    batches = pipeline.training(files, sampler(files), VIEW, batch_size=8)
    assert batches.element_spec[0].shape == (8, SIZE, SIZE, 3)
