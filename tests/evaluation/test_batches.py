import threading

import numpy as np
import pytest

from bsce_tf.data import pipeline, records
from bsce_tf.data.examples import Examples
from bsce_tf.data.sources import generated
from bsce_tf.errors import InputError
from bsce_tf.evaluation.batches import View, batches
from tests.data.pictures import encoded, picture

VIEWS = [View((40, 36), 32, 'squash', False, 3), View((50, 41), 41, 'keep', True, 3),
         View((33,), 20, 'squash', False, 1)]


class Counting:
    """A store that counts how often each image is read."""

    def __init__(self, images):
        self.images, self.reads, self._lock = images, np.zeros(len(images), int), threading.Lock()

    def read(self, numbers):
        with self._lock:
            self.reads[numbers] += 1
        return [self.images[i] for i in numbers]


@pytest.fixture
def store():
    return Counting([encoded(picture(60 + i, 80, seed=i)) for i in range(23)])


def examples_of(store):
    names = np.array([f'{i}.jpg' for i in range(23)], 'S')
    return Examples(np.arange(23) % 4, 'abcd', records=records.Records(store, names))


@pytest.mark.parametrize('batch_size', [1, 7, 12, 100])
def test_every_image_once_and_read_once_for_all_views(store, batch_size):
    examples = examples_of(store)
    dataset = batches(examples, VIEWS, batch_size)
    found = list(dataset)
    assert len(found) == int(dataset.cardinality()) == -(-23 // batch_size)
    assert [len(batch.labels) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    assert np.concatenate([batch.indices for batch in found]).tolist() == list(range(23))
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in found]),
                                  examples.labels)
    assert store.reads.tolist() == [1] * 23
    assert all((batch.weights == 1).numpy().all() for batch in found)
    for i, view in enumerate(VIEWS):
        crops = np.concatenate([batch.crops[i] for batch in found])
        assert crops.shape == (23, len(view.scales), view.size, view.size, view.channels)
        assert crops.dtype == np.uint8
        for j, scale in enumerate(view.scales if batch_size == 7 else ()):
            single = pipeline.evaluation(examples, batch_size=23, size=view.size, scale=scale,
                                         aspect=view.aspect, antialias=view.antialias)
            wanted = next(iter(single))[0].numpy()
            if view.channels == 1:  # grey is taken before the resizing, and rounded once
                grey = wanted.astype(np.float64).mean(-1, keepdims=True)
                np.testing.assert_allclose(crops[:, j], grey, atol=1.1)
            else:
                np.testing.assert_array_equal(crops[:, j], wanted)


def test_a_later_start_gives_the_same_batches(store):
    examples = examples_of(store)
    whole, rest = (list(batches(examples, VIEWS[:1], 5, start=start)) for start in (0, 15))
    assert len(rest) == 2
    for one, other in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(one.crops[0], other.crops[0])
        np.testing.assert_array_equal(one.indices, other.indices)


def test_images_in_memory_and_grey_ones_for_a_colour_model():
    test = generated.load().test
    grey = Examples(test.labels, test.class_names, images=test.images[..., :1])
    found = next(iter(batches(grey, [View((36,), 32, 'squash', False, 3)], 48))).crops[0].numpy()
    assert found.shape == (48, 1, 32, 32, 3)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert found.std() > 5


def test_views_out_of_range_are_named(store):
    with pytest.raises(InputError, match='image.scales'):
        batches(examples_of(store), [View((30,), 32, 'squash', False, 3)], 4)
