import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from bsce_tf.data.pipeline import Batch
from bsce_tf.data.view import View
from bsce_tf.models import classifier
from bsce_tf.training import averaging, optimizers, strategy
from bsce_tf.training.trainer import Trainer

CLASSES = 5
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (8, 24, 24, 3), np.uint8)
LABELS = RNG.integers(0, CLASSES, 8).astype('int32')


def trainer_of(batch_size=8, jit=False, name='sgd', accumulate=1, alpha=0.4, ema=0,
               scale_loss=False, **options):
    keras.utils.set_random_seed(1)
    model = classifier.build('tests.smoke:NETWORK', CLASSES, image_size=24)
    classifier.synchronise_batch_norm(model)
    settings = optimizers.Settings(name, learning_rate=0.1, **options)
    optimizer = optimizers.make(model, settings, scale_loss)
    loss = losses.by_name('bsce', class_weights=np.linspace(0.5, 2, CLASSES), alpha=alpha)
    return Trainer(model, View(24, (24,)), optimizer, loss, batch_size, jit_compile=jit,
                   ema=averaging.Ema(model, ema) if ema else None, accumulate=accumulate)


def evaluated(size, weights=None):
    """The first images as a batch of evaluation."""
    return Batch((IMAGES[:size, None],), LABELS[:size],
                 np.ones(size, np.float32) if weights is None else weights, np.arange(size))


def train(replicas, steps=2, **options):
    """(weights after some steps, losses, metrics), with the images in one or two replicas."""
    devices = strategy.create('auto', replicas)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8).repeat()
    with devices.scope():
        trainer = trainer_of(**options)
        iterator = iter(strategy.distribute(devices, lambda shard: data))
        losses_ = [trainer.train_step(next(iterator), number)[0] for number in range(steps)]
        return ([v.numpy() for v in trainer.model.trainable_variables], losses_, trainer.results(),
                trainer.evaluate(strategy.distribute(
                    devices, lambda shard: tf.data.Dataset.from_tensors(evaluated(8)))))


@pytest.mark.parametrize('options', [
    {'clip_value': 0.001}, {'accumulate': 2, 'layer_decay': 0.5, 'nesterov': True},
    {'scale_loss': True, 'clip_norm': 0.05}], ids=str)
def test_two_replicas_step_as_one(options):
    one, two = train(1, **options), train(2, **options)
    for a, b in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-5)
    for a, b in zip(one[2:], two[2:], strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_the_mean_loss_of_two_replicas_goes_on_to_the_last_digit():
    devices = strategy.create('auto', 2)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8).repeat()
    with devices.scope():
        trainer = trainer_of(ema=0.9)

        def restore(arrays):
            for variable, array in zip(trainer.variables, arrays, strict=True):
                variable.assign(array)

        def train_on(first, last):
            iterator = iter(strategy.distribute(devices, lambda shard: data))
            for number in range(first, last):
                trainer.train_step(next(iterator), number)
            return trainer.results()

        begin = [v.numpy() for v in trainer.variables]
        whole = train_on(0, 9)
        for stop in range(1, 9):
            restore(begin)
            train_on(0, stop)
            restore([v.numpy() for v in trainer.variables])
            assert train_on(stop, 9) == whole


def gradients_of(model, images, labels):
    """Of the mean loss, by Keras's own means."""
    weights = np.linspace(0.5, 2, CLASSES)
    with tf.GradientTape() as tape:
        loss = losses.by_name('bsce', class_weights=weights)(labels, model(images, training=True))
    return [g.numpy() for g in tape.gradient(loss, model.trainable_variables)]


def test_clipping_takes_all_variables_together():
    trainer = trainer_of(clip_norm=0.05, momentum=0.0)
    before = [v.numpy() for v in trainer.model.trainable_variables]
    gradients = gradients_of(trainer_of().model, IMAGES, LABELS)
    length = np.sqrt(sum((g.astype('float64') ** 2).sum() for g in gradients))
    assert length > 0.05
    trainer.train_step((IMAGES, LABELS))
    for variable, old, gradient in zip(trainer.model.trainable_variables, before, gradients,
                                       strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.1 * gradient * 0.05 / length,
                                   rtol=1e-4, atol=1e-6)


def test_accumulated_steps_make_one_update():
    trainer = trainer_of(accumulate=2, momentum=0.0)
    before = [v.numpy() for v in trainer.model.trainable_variables]
    first = gradients_of(trainer_of().model, IMAGES, LABELS)
    second = gradients_of(trainer_of().model, IMAGES[::-1], LABELS)
    trainer.train_step((IMAGES, LABELS), 0)
    for variable, old in zip(trainer.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    trainer.train_step((IMAGES[::-1].copy(), LABELS), 1)
    for variable, old, a, b in zip(trainer.model.trainable_variables, before, first, second,
                                   strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.1 * (a + b) / 2, rtol=1e-3, atol=2e-5)


def test_the_average_follows_every_update_and_no_other_step():
    trainer = trainer_of(accumulate=2, ema=0.9)
    before = trainer.ema.values()
    trainer.train_step((IMAGES, LABELS), 0)
    for average, old in zip(trainer.ema.values(), before, strict=True):
        np.testing.assert_array_equal(average, old)
    trainer.train_step((IMAGES, LABELS), 1)
    moved = 0
    for average, old, variable in zip(trainer.ema.values(), before,
                                      averaging.averaged_variables(trainer.model), strict=True):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * variable.numpy(), rtol=1e-5,
                                   atol=1e-6)
        moved += (average != old).any()
    assert moved == len(before)


def test_images_without_weight_count_nowhere():
    trainer = trainer_of()
    whole = trainer.evaluate([evaluated(5)])
    padded = trainer.evaluate([evaluated(8, np.float32([1, 1, 1, 1, 1, 0, 0, 0]))])
    rest = Batch((IMAGES[3:5, None],), LABELS[3:5], np.ones(2), 0)
    parts = trainer.evaluate([evaluated(3), rest])
    assert padded == pytest.approx(whole, rel=1e-5)
    assert parts == pytest.approx(whole, rel=1e-5)


def test_xla_gives_the_same_step():
    plain, compiled = train(1), train(1, jit=True)
    np.testing.assert_allclose(plain[1], compiled[1], rtol=1e-4)


def test_an_overflow_in_float16_leaves_the_weights_and_halves_the_scale():
    trainer = trainer_of(scale_loss=True, alpha=1e4)
    trainer.optimizer.dynamic_scale.assign(3e38)
    before = [v.numpy() for v in trainer.model.trainable_variables]
    loss, *_ = trainer.train_step((IMAGES, LABELS))
    assert np.isfinite(loss)
    for variable, old in zip(trainer.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert trainer.optimizer.dynamic_scale.numpy() == pytest.approx(1.5e38)


def test_workers_learn_what_one_of_them_wants():
    trainer = trainer_of()
    assert trainer.train_step((IMAGES, LABELS))[1:] == (False, False)
    assert trainer.train_step((IMAGES, LABELS), save=True)[1:] == (True, False)
    assert trainer.train_step((IMAGES, LABELS), stop=True)[1:] == (False, True)
