"""Early-learning regularisation against NumPy with the whole memory, step after step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from tests.losses import reference

K, IMAGES = 6, 8
COUNTS = np.array([3, 1, 1, 1, 1, 1])


def batches(steps, seed=0):
    """(numbers, labels, logits) of images that come again and again."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, IMAGES)
    for _ in range(steps):
        numbers = rng.permutation(IMAGES)[:5]
        yield numbers, labels[numbers], rng.normal(size=(5, K)).astype('float32') * 3


def expected(targets, numbers, labels, logits, strength, memory, kept=K):
    """Losses and gradients; `targets` `[IMAGES, K]` are brought up to date in place."""
    log_p = reference.log_softmax(logits.astype(np.float64))
    p = np.exp(log_p)
    targets[numbers] = memory * targets[numbers] + (1 - memory) * p
    for row in numbers:
        targets[row, np.argsort(-targets[row])[kept:]] = 0
    t = targets[numbers]
    likeness = (p * t).sum(-1, keepdims=True)
    losses = -log_p[np.arange(len(labels)), labels] + strength * np.log1p(-likeness[:, 0])
    pull = -strength / (1 - likeness) * p * (t - likeness)
    return losses, p - np.eye(K)[labels] + pull


@pytest.mark.parametrize('kept', [K, 2])
@pytest.mark.parametrize('jit_compile', [False, True])
def test_the_memory_is_that_of_the_paper(kept, jit_compile):
    loss = losses.EarlyLearningLoss(COUNTS, strength=2.0, memory=0.6, kept=kept)

    @tf.function(jit_compile=jit_compile)
    def both(numbers, labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = loss.call(labels, logits, numbers)
        return found, tape.gradient(found, logits)

    targets = np.zeros((IMAGES, K))
    for batch in batches(12):
        wanted = expected(targets, *batch, 2.0, 0.6, kept)
        for found, right in zip(both(*map(tf.constant, batch)), wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-5)
    dense = np.zeros((IMAGES, K))
    np.put_along_axis(dense, loss.ids.numpy(), loss.values.numpy(), axis=1)
    np.testing.assert_allclose(dense, targets, atol=1e-5)


def test_an_image_that_is_twice_in_a_batch_remembers_its_first_prediction():
    numbers, logits = np.array([3, 5, 3, 3]), np.random.default_rng(0).normal(size=(4, K)) * 3
    logits = logits.astype('float32')
    twice, once = (losses.EarlyLearningLoss(COUNTS, kept=3) for _ in range(2))
    for _ in range(3):
        found = twice.call(np.zeros(4), logits, numbers)
        right = once.call(np.zeros(2), logits[:2], numbers[:2])
        np.testing.assert_array_equal(twice.ids, once.ids)
        np.testing.assert_allclose(twice.values, once.values, rtol=1e-6)
        np.testing.assert_allclose(found[:2], right, rtol=1e-6)


def test_without_numbers_it_is_the_cross_entropy_and_remembers_nothing():
    loss = losses.EarlyLearningLoss(COUNTS)
    (_, labels, logits), = batches(1)
    np.testing.assert_allclose(
        loss(labels, logits),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits), rtol=1e-6)
    assert not loss.values.numpy().any()


def test_certain_images_stay_finite():
    loss = losses.EarlyLearningLoss(COUNTS, memory=0.0)
    logits = tf.constant([[50.0] + [0.0] * (K - 1)])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = loss.call([0], logits, [0])
    assert np.isfinite(found.numpy()).all()
    assert np.isfinite(tape.gradient(found, logits).numpy()).all()


def test_its_memory_is_small():
    loss = losses.EarlyLearningLoss(np.full(50_030, 4), kept=3)
    assert [variable.shape for variable in loss.state] == [(200_120, 3)] * 2
