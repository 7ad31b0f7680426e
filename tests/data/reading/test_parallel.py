"""Images are read many at a time, whatever the number of cores, and arrive in order."""

import math
import os
import threading
import time
import types

import numpy as np
import pytest

from bsce_tf.data import loading, pipeline
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import parallel, records
from bsce_tf.data.sampler import Sampler
from bsce_tf.data.view import View
from bsce_tf.errors import InputError
from tests.data.pictures import encoded, picture

COUNT = 40


class Store:
    """A store of images that counts how many are being read at once; `wait` takes a number."""

    def __init__(self, images, wait=lambda number: None):
        self.images, self.wait = images, wait
        self.running = self.most = 0
        self.order = []
        self.changed = threading.Condition()

    def read(self, numbers):
        with self.changed:
            self.running += 1
            self.most = max(self.most, self.running)
            self.order += numbers.tolist()
            self.changed.notify_all()
        try:
            for number in numbers.tolist():
                self.wait(number)
                if self.images[number] is None:
                    raise InputError(f'{number}: gone')
            return [self.images[number] for number in numbers]
        finally:
            with self.changed:
                self.running -= 1


def of(store):
    return records.Records(store, np.array([b'%d' % i for i in range(len(store.images))]))


def unequally(number):
    time.sleep(0.001 * (7 * number % 5))


def test_images_are_read_ahead_in_order_and_a_bad_one_is_an_error():
    store = Store([b'%d' % i if i != 3 else None for i in range(COUNT)], unequally)
    found = list(parallel.each(of(store), range(COUNT), 5))
    assert str(found.pop(3)) == '3: gone'
    assert found == [b'%d' % i for i in range(COUNT) if i != 3]
    assert 2 <= store.most <= 5


def test_no_more_images_are_kept_than_there_are_readers():
    store = Store([bytes(10)] * COUNT)
    images = parallel.each(of(store), range(COUNT), 5)
    next(images)
    time.sleep(0.05)
    assert len(store.order) <= 5
    images.close()
    time.sleep(0.05)
    assert len(store.order) <= 5


@pytest.mark.parametrize('readers', [1, 3, 64])
def test_images_read_at_once_are_in_order_and_a_bad_one_is_empty(readers):
    store = Store([b'%d' % i if i != 30 else None for i in range(COUNT)], unequally)
    numbers = np.array([30, 5, 5, 39, 0, 12])
    for seconds in (math.inf, 1e-9):
        chunks = parallel.Chunks(of(store), parallel.Storage(readers, 9, seconds))
        assert chunks.read(numbers) == [b'', b'5', b'5', b'39', b'0', b'12']
        assert chunks.read(numbers[:0]) == []


def test_threads_read_once_storage_is_no_longer_quick(monkeypatch):
    threads, now, pace = [], [0.0], [0.0]

    def note(_):
        threads.append(threading.current_thread())
        now[0] += pace[0]

    def read(seconds, times):
        pace[0] = seconds
        threads.clear()
        for _ in range(times):
            chunks.read(np.arange(8))
        return set(threads)

    monkeypatch.setattr(parallel, 'time', types.SimpleNamespace(perf_counter=lambda: now[0]))
    chunks = parallel.Chunks(of(Store([b'1'] * COUNT, note)), parallel.Storage(8, 9, 1e-4))
    for seconds, times in ((1e-5, 30), (60.0, 1), (1e-5, 5), (60.0, 1), (1e-5, 30)):  # two pauses
        assert read(seconds, times) == {threading.current_thread()}
    read(0.01, 10)
    assert threading.current_thread() not in read(0.01, 1)


class Large(bytes):
    """Bytes that claim a size."""

    size = 0

    def __len__(self):
        return self.size


@pytest.mark.parametrize(('milliseconds', 'size', 'readers'), [
    (0.05, 1000, 8), (10, 1000, 32), (12, 1000, 32), (15, 1000, 64), (40, 1000, 128),
    (900, 1000, 256),
    (40, 9_000_000, 16), (40, 1 << 29, 1)])
def test_readers_follow_the_time_of_a_read(monkeypatch, milliseconds, size, readers):
    now = [0.0]

    def wait(_):  # the first read opens a connection
        now[0] += milliseconds / 1000 * (0.999 if len(store.order) > 1 else 5)

    monkeypatch.setattr(Large, 'size', size)
    store = Store([Large()] * COUNT, wait)
    monkeypatch.setattr(parallel, 'time', types.SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(parallel, '_SECONDS', milliseconds / 100)
    assert parallel.measure(of(store))[:2] == (readers, size)
    assert parallel.measure(of(store)).seconds == pytest.approx(0.999 * milliseconds / 1000)
    assert parallel.measure(of(store), readers=5) == (5, size, math.inf)  # the field is obeyed


def test_a_measurement_ends_in_time_and_needs_no_good_image():
    store = Store([None] * COUNT, lambda number: time.sleep(0.2))
    assert parallel.measure(of(store))[:2] == (256, 0)
    assert len(store.order) <= 4  # in half a second
    store.in_order = True  # such as Parquet files
    assert parallel.measure(of(store), readers=7) == (1, 0, math.inf)


@pytest.fixture(scope='module')
def images():
    return [encoded(picture(40 + i, 48, seed=i)) for i in range(COUNT)]


def batches(store, readers, start=0):
    examples = Examples(np.arange(COUNT) % 4, 'abcd', records=of(store), readers=readers)
    found = pipeline.training(examples, Sampler(examples.labels, 4, seed=1), View(32, (36,),
                              'multi_scale'), batch_size=4, seed=2, start=start)
    return [np.concatenate(part) for part in zip(*found.take(4), strict=True)]


def test_more_images_are_read_at_once_than_there_are_cores(images):
    """The reads wait until as many as there should be are under way."""
    if len(os.sched_getaffinity(0)) >= 20:
        pytest.skip('a machine of very many cores')

    def wait(_):
        with store.changed:
            assert store.changed.wait_for(lambda: store.most >= 20, timeout=20)

    store = Store(images, wait)
    examples = Examples(np.zeros(COUNT, int), 'ab', records=of(store))
    examples.__dict__['storage'] = parallel.Storage(20, 3000)
    found = pipeline.evaluation(examples, [View(32, (36,))], 8)
    assert sum(len(batch.indices) for batch in found) == COUNT
    assert store.most == 20


def test_examples_do_not_depend_on_the_readers_nor_on_their_speed(images):
    wanted = batches(Store(images), 1)
    for one, other in zip(batches(Store(images, unequally), 64, start=2), wanted, strict=True):
        np.testing.assert_array_equal(one[:8], other[8:])


@pytest.mark.parametrize(('size', 'most'), [(0, 64), (1 << 20, 32), (20 << 20, 1), (1 << 30, 1)])
def test_large_images_share_smaller_chunks(images, size, most):
    """So that photographs of 20 MB are not read ahead by the dozen."""
    examples = Examples(np.zeros(COUNT, int), 'ab', records=of(Store(images)))
    examples.__dict__['storage'] = parallel.Storage(2, size)
    assert loading.chunk(64, loading.most(examples)) == most
