"""A head in parts and a sampled head, against the whole head and float64 NumPy."""


import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from bsce_tf.errors import RunError
from bsce_tf.heads import class_variable, divided
from bsce_tf.models import heads
from bsce_tf.training import strategy

CLASSES, WIDTH, IMAGES = 11, 6, 8
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(IMAGES, WIDTH)).astype('float32')
LABELS = RNG.integers(0, CLASSES, IMAGES).astype('int32')
COUNTS = RNG.integers(1, 90, CLASSES)


def model_of(kind, division):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(5, name='hidden')(inputs)
    return keras.Model(inputs, heads.head(kind, CLASSES, division=division, scale=5.0)(hidden))


def whole(kind, loss):
    """(losses, {path: gradient}) of the whole head."""
    model = model_of(kind, None)
    with tf.GradientTape() as tape:
        found = loss.call(LABELS, model(FEATURES, training=True))
        total = tf.reduce_sum(found)
    return found.numpy(), {v.path: g.numpy() for v, g in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True)}


def in_parts(kind, loss, replicas, share=1.0, step=0):
    """The same of a head in parts, and hits."""
    devices = strategy.create('mirrored', replicas) if replicas > 1 else strategy.create('one')
    with devices.scope():
        model = model_of(kind, class_variable.Division(CLASSES))
        head = divided.DividedHead(model, loss, share, 5, keras.optimizers.SGD(0.1, momentum=0.9))

    def of_replica(images, labels):
        with tf.GradientTape() as tape:
            found, hits, rows, chosen = head.train(
                head.body(images, training=True), labels, tf.constant(step), tape)
            total = tf.reduce_sum(found)
        grads = tape.gradient(total, [*model.trainable_variables, *rows])
        count = len(model.trainable_variables)
        context = tf.distribute.get_replica_context()
        return found, hits, context.all_reduce('SUM', grads[:count]), grads[count:]

    data = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(IMAGES)
    batch = next(iter(strategy.distribute(devices, lambda _: data)))
    found, hits, grads, of_rows = tf.function(
        lambda: devices.run(of_replica, batch), autograph=False)()

    def local(value):
        return [v.numpy() for v in devices.experimental_local_results(value)]

    gradients = {v.path: local(g)[0] for v, g in zip(model.trainable_variables, grads, strict=True)}
    for variable, value in zip(model.get_layer('head').class_variables, of_rows, strict=True):
        rows = np.concatenate([v[:variable.division.size(r)] for r, v in enumerate(local(value))])
        gradients[variable.path] = np.moveaxis(rows, 0, -1)
    return np.concatenate(local(found)), gradients, np.concatenate(local(hits)), model


@pytest.mark.parametrize('replicas', [1, 2])
@pytest.mark.parametrize(('kind', 'name', 'options'), [
    ('linear', 'ce', {}), ('linear', 'bce', {}), ('tau', 'sce', {}), ('linear', 'bsce', {}),
    ('cosine', 'bsce_many', {}), ('linear', 'bsce_many', {'label_smoothing': 0.2}),
    ('linear', 'bsce', {'label_smoothing': 0.2}), ('linear', 'focal', {}), ('linear', 'gce', {})],
    ids=str)
def test_parts_give_the_losses_and_gradients_of_the_whole(replicas, kind, name, options):
    loss = losses.make(name, COUNTS, **options)
    expected, expected_gradients = whole(kind, loss)
    found, gradients, hits, model = in_parts(kind, loss, replicas)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == expected_gradients.keys()
    for path, gradient in gradients.items():
        wanted = expected_gradients[path]
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6 * abs(wanted).max(),
                                   err_msg=path)
    logits = model_of(kind, None)(FEATURES).numpy()
    np.testing.assert_array_equal(hits, logits.argmax(1) == LABELS)


@pytest.mark.parametrize('kind', ['linear', 'tau', 'cosine'])
def test_a_call_of_a_model_in_parts_says_what_to_call(kind):
    with strategy.create('mirrored', 2).scope():
        model = model_of(kind, class_variable.Division(CLASSES))
    with pytest.raises(RunError, match=r'expected a call of bsce_tf\.load\(workdir\)\.model\(\)'):
        model(FEATURES)
