import threading

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data.examples import Examples
from bsce_tf.data.images.crops import centre_crops
from bsce_tf.data.pipeline import evaluation
from bsce_tf.data.reading import records
from bsce_tf.data.sources import generated
from bsce_tf.data.view import View
from tests.data.pictures import encoded, picture

VIEWS = [View(32, (40, 36)), View(41, (50, 41), aspect='keep', antialias=True),
         View(20, (33,), channels=1)]


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
    dataset = evaluation(examples, VIEWS, batch_size)
    store.reads[:] = 0  # those that measured the storage
    found = list(dataset)
    assert len(found) == int(dataset.cardinality()) == -(-23 // batch_size)
    assert [len(batch.labels) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    assert np.concatenate([batch.indices for batch in found]).tolist() == list(range(23))
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in found]),
                                  examples.labels)
    assert store.reads.tolist() == [1] * 23
    assert all((batch.weights == 1).numpy().all() for batch in found)
    images = [tf.io.decode_jpeg(data, dct_method='INTEGER_ACCURATE') for data in store.images]
    for i, view in enumerate(VIEWS):
        crops = np.concatenate([batch.crops[i] for batch in found])
        assert crops.shape == (23, len(view.scales), view.size, view.size, view.channels)
        assert crops.dtype == np.uint8
        for j, scale in enumerate(view.scales if batch_size == 7 else ()):
            wanted = np.stack([centre_crops(image, (scale,), view.size, view.aspect,
                                            view.antialias)[0] for image in images])
            wanted = np.floor(wanted + 0.5)
            if view.channels == 1:  # grey is taken before the resizing, and rounded once
                grey = wanted.astype(np.float64).mean(-1, keepdims=True)
                np.testing.assert_allclose(crops[:, j], grey, atol=1.1)
            else:
                np.testing.assert_array_equal(crops[:, j], wanted)


def test_a_later_start_gives_the_same_batches(store):
    examples = examples_of(store)
    whole, rest = (list(evaluation(examples, VIEWS[:1], 5, start=start)) for start in (0, 15))
    assert len(rest) == 2
    for one, other in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(one.crops[0], other.crops[0])
        np.testing.assert_array_equal(one.indices, other.indices)


def test_images_in_memory_and_grey_ones_for_a_colour_model():
    test = generated.load().test
    grey = Examples(test.labels, test.class_names, images=test.images[..., :1])
    found = next(iter(evaluation(grey, [View(32, (36,))], 48))).crops[0].numpy()
    assert found.shape == (48, 1, 32, 32, 3)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert found.std() > 5


@pytest.mark.parametrize('store_kind', ['files', 'memory'])
def test_workers_share_full_batches_of_a_known_size(store, store_kind):
    examples = examples_of(store)
    if store_kind == 'memory':
        examples = Examples(examples.labels, 'abcd', images=np.zeros((23, 40, 40, 3), np.uint8))
    parts = [evaluation(examples, VIEWS[1:], 8, shard=(worker, 2), full=True)
             for worker in range(2)]
    for part in parts:  # several devices of a worker divide it
        assert part.element_spec.crops[0].shape == (4, 2, 41, 41, 3)
    found = [list(part) for part in parts]
    assert [np.concatenate([batch.indices for batch in pair]).tolist()
            for pair in zip(*found, strict=True)] == [
        [*range(8)], [*range(8, 16)], [*range(16, 23), 22]]
    assert found[1][-1].weights.numpy().tolist() == [1, 1, 1, 0]
