"""ResNeSt: parity with timm and what must break it, sizes, policies, XLA, saving."""

import json
import math
import pathlib
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.models.backbones import resnest
from bsce_tf.models.weights import convert_timm

sys.path.append(str(pathlib.Path(__file__).parents[3] / 'tools'))
import drawn_weights  # noqa: E402

REFERENCE = pathlib.Path(__file__).parent / 'reference'
NETWORKS = {'resnest50d': (resnest.resnest50, 32), 'resnest101e': (resnest.resnest101, 64),
            'resnest200e': (resnest.resnest200, 64), 'resnest269e': (resnest.resnest269, 64)}
CASES = [case for name in NETWORKS for case in drawn_weights.cases(name)]
QUICK = ('resnest50d', 'resnest101e')  # cut short, the two deepest are the second of these
FULL = [('resnest50', 25_434_240, 224), ('resnest101', 46_226_016, 256),
        pytest.param('resnest200', 68_152_544, 320, marks=pytest.mark.large),
        ('resnest269', 108_880_480, 416)]


def tiny(input_shape=(96, 96, 3), radix=2):
    """Two stages, with and without a stride, with and without a convolved shortcut."""
    return resnest.resnest((1, 2), 8, input_shape, width=8, radix=radix, name='tiny')


def drawn(model, seed=0):
    """`model` with every scale, bias and statistic drawn: as made, blocks are identities."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ('gamma', 'moving_variance'):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ('beta', 'moving_mean', 'bias'):
            variable.assign(generator.normal(0.0, 0.1, variable.shape))
    return model


def images(side=96, other_side=None, batch=2):
    shape = (batch, side, other_side or side, 3)
    return np.random.default_rng(1).normal(size=shape).astype('float32')


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy('float32')


@pytest.fixture
def undrawn(monkeypatch):
    """Kernels begin as zeros: to draw them takes longer than to build the network."""
    monkeypatch.setattr(keras.initializers.VarianceScaling, '__call__',
                        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype))


@pytest.fixture
def float64(undrawn):
    keras.config.set_floatx('float64')  # also the type in which the images arrive
    keras.config.set_dtype_policy('float64')
    yield
    keras.config.set_floatx('float32')


def build(case):
    """Our network of a case."""
    network, stem_width = NETWORKS[case.network]
    if not case.shallow:
        return network((case.size, case.size, 3))
    return resnest.resnest(drawn_weights.SHALLOW_DEPTHS, stem_width, name=case.network)


def largest_difference(case):
    """Between our features and logits and timm's, as a fraction of the largest feature."""
    theirs = np.load(REFERENCE / case.filename)
    state = drawn_weights.draw_state(json.loads(str(theirs['state'])))
    model = build(case)
    arrays = convert_timm.convert(model, state, case.filename)
    head = arrays['head/kernel'], arrays['head/bias']
    convert_timm.assign(model, arrays, case.filename)
    features = model(drawn_weights.images(case), training=case.training).numpy()
    ours = drawn_weights.summary(features)
    assert tuple(ours['shape']) == tuple(theirs['shape'])
    kept = ['pooled', 'every', 'largest']
    if not case.training:
        ours['logits'] = ours['pooled'] @ head[0] + head[1]
        kept.append('logits')
    return max(np.abs(ours[name] - theirs[name]).max() for name in kept) / theirs['largest']


@pytest.mark.parametrize('case', [
    pytest.param(case, id=case.filename.removesuffix('.npz'),
                 marks=[] if case.shallow and case.network in QUICK else pytest.mark.large)
    for case in CASES])
def test_features_are_those_of_timm(case, float64):
    assert largest_difference(case) < 1e-9


def padded_below_and_right(x, filters, size, name, *, strides=1, use_bias=False):
    return keras.layers.Conv2D(
        filters, size, strides, 'same', use_bias=use_bias, name=name)(x)


def splits_of_each_channel_side_by_side(self, inputs):
    """Channels cardinality-major: what the attention would be without section 3.2's order."""
    x, logits = (keras.ops.reshape(t, (*t.shape[:3], -1, self.radix)) for t in inputs)
    return keras.ops.sum(x * keras.ops.softmax(logits), axis=-1)


def zeros_left_out_of_the_mean(x, stride, name):
    return keras.layers.AveragePooling2D(3, stride, 'same', name=name)(x)


@pytest.mark.parametrize(('place', 'mistake'), [
    ((resnest, 'convolve'), padded_below_and_right),
    ((resnest, 'EPSILON'), 1e-3),
    ((resnest.AttendSplits, 'call'), splits_of_each_channel_side_by_side),
    ((resnest, 'average'), zeros_left_out_of_the_mean),
], ids=['padding', 'epsilon', 'order', 'average'])
def test_parity_shows_mistakes(place, mistake, float64, monkeypatch):
    case = drawn_weights.Case('resnest50d', 224, shallow=True)
    monkeypatch.setattr(*place, mistake)
    assert largest_difference(case) > 1e-4


@pytest.mark.parametrize(('name', 'parameters', 'size'), FULL)
def test_full_size_networks(name, parameters, size, undrawn):
    start = time.process_time()  # not of the clock: other programs may be at work
    model = getattr(resnest, name)()
    assert time.process_time() - start < 20
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == parameters
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, math.ceil(size / 32), math.ceil(size / 32), 2048)
    assert resnest.WEIGHTS[name].size == size


def test_attention_is_a_softmax_over_splits_that_lie_one_after_another():
    x = np.array([[[[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]]]])  # two splits of three channels
    logits = np.array([[[[0.0, 0.0, 9.0, np.log(3.0), 0.0, -9.0]]]])
    attended = resnest.AttendSplits(2, dtype='float64')([x, logits])
    nearly = 1 / (1 + np.exp(-18.0))
    expected = [(1 + 3 * 10) / 4, (2 + 20) / 2, nearly * 3 + (1 - nearly) * 30]
    np.testing.assert_allclose(np.ravel(attended), expected, rtol=1e-12)
    summed = resnest.SumSplits(2, dtype='float64')(x)
    np.testing.assert_array_equal(np.ravel(summed), [11.0, 22.0, 33.0])


def test_other_numbers_of_splits():
    model = drawn(tiny(radix=4))
    convolution = model.get_layer('layer1.0').get_layer('layer1.0.conv2.conv')
    assert convolution.kernel.shape == (3, 3, 2, 32)
    assert model(images()).shape == (2, 12, 12, 64)
    with pytest.raises(ValueError, match='radix of at least 2. Received: radix=1'):
        tiny(radix=1)


def test_a_new_block_is_an_identity():
    model = tiny()
    block = model.get_layer('layer2.1')
    x = np.abs(images(12, batch=1)[..., :1]) * np.ones(64, 'float32')
    np.testing.assert_array_equal(block(x), x)


def test_unknown_sides_give_what_known_ones_give():
    fixed = drawn(tiny())
    free = tiny((None, None, 3))
    free.set_weights(fixed.get_weights())
    np.testing.assert_allclose(free(images()), fixed(images()), rtol=1e-6)
    assert free(images(97, 130)).shape == (2, 13, 17, 64)


@pytest.mark.parametrize(('shape', 'message'), [
    ((95, 224, 3), '95 x 224 pixels are too small, the smallest are 96 x 96'),
    ((None, 64, 3), 'None x 64 pixels are too small'),
    ((224, 224, 1), r'input_shape is \(224, 224, 1\), expected \(height, width, 3\)'),
    ((224, 224), r'input_shape is \(224, 224\), expected \(height, width, 3\)'),
])
def test_images_that_the_network_cannot_take(shape, message):
    with pytest.raises(InputError, match=message) as caught:
        resnest.resnest50(shape)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('policy', 'tolerance'), [
    ('mixed_float16', 0.01),
    ('mixed_bfloat16', 0.06),
    pytest.param('float16', 0.01, marks=pytest.mark.large),
    pytest.param('bfloat16', 0.06, marks=pytest.mark.large),
])
def test_low_precision(policy, tolerance):
    reference = drawn(tiny())
    expected = reference(images()).numpy()
    keras.config.set_dtype_policy(policy)
    model = tiny()
    model.set_weights(reference.get_weights())
    features = model(images())
    assert features.dtype == policy.removeprefix('mixed_')
    error = np.abs(features.numpy().astype('float32') - expected).max()
    assert error < tolerance * np.abs(expected).max()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.cast(model(images(), training=True), 'float32'))
    for gradient in tape.gradient(loss, [v.value for v in model.trainable_variables]):
        assert np.isfinite(tf.cast(gradient, 'float32').numpy()).all()


def test_xla():
    model = drawn(tiny((None, None, 3)))
    compiled = tf.function(model, jit_compile=True)
    expected = model(images(97)).numpy()
    np.testing.assert_allclose(compiled(images(97)), expected, atol=1e-5 * expected.max())


def test_saved_and_loaded(tmp_path):
    model = drawn(tiny())
    expected = model(images()).numpy()
    model.save(tmp_path / 'tiny.keras')
    loaded = keras.saving.load_model(tmp_path / 'tiny.keras')
    np.testing.assert_array_equal(loaded(images()), expected)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    model.save_weights(tmp_path / 'tiny.weights.h5')
    other = tiny()
    other.load_weights(tmp_path / 'tiny.weights.h5')
    np.testing.assert_array_equal(other(images()), expected)


def test_trains():
    model = tiny()
    head = keras.Sequential([model, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    head.compile(keras.optimizers.SGD(0.05, 0.9),
                 keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.array([0, 1, 0, 1])
    bright = images(batch=4) + labels[:, None, None, None]
    history = head.fit(bright, labels, epochs=6, batch_size=4, verbose=0).history['loss']
    assert history[-1] < 0.5 * history[0]
