"""Every combination of type, compilation, padding and stride against a split reference."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.models.layers import grouped_convolution
from bsce_tf.models.layers.grouped_convolution import GroupedConv2D, grouped_gradient_works

GROUPS = 4
TOLERANCE = {'float32': 1e-5, 'float64': 1e-13, 'float16': 2e-2, 'bfloat16': 1e-1}
RUNS = {
    'eager': lambda f: f,
    'graph': tf.function,
    'XLA': lambda f: tf.function(f, jit_compile=True),
}


def drawn(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def windows(images, kernel, stride, padding):
    """NumPy: [n, h', w', kh, kw, c] windows, TensorFlow's padding."""
    if padding == 'same':
        pads = [(0, 0)]
        for size, k in zip(images.shape[1:3], kernel, strict=True):
            total = max((-(-size // stride) - 1) * stride + k - size, 0)
            pads.append((total // 2, total - total // 2))
        images = np.pad(images, [*pads, (0, 0)])
    view = np.lib.stride_tricks.sliding_window_view(images, kernel, axis=(1, 2))
    return view[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)


def reference(images, kernel, stride, padding):
    """NumPy, float64: the groups one by one."""
    outputs = [
        np.einsum('nhwijc,ijcf->nhwf', windows(x, k.shape[:2], stride, padding), k)
        for x, k in zip(np.split(images, GROUPS, -1), np.split(kernel, GROUPS, -1), strict=True)
    ]
    return np.concatenate(outputs, -1)


def reference_gradients(images, kernel, upstream, stride, padding):
    """Exact: the convolution is linear in either argument, so TensorFlow's ungrouped one does."""
    parts = []
    for x, k, dy in zip(
        *(tf.split(tf.constant(a), GROUPS, -1) for a in (images, kernel, upstream)), strict=True
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            y = tf.nn.conv2d(x, k, stride, padding.upper())
        parts.append(tape.gradient(y, [x, k], dy))
    return [np.concatenate(p, -1) for p in zip(*parts, strict=True)]


def results(dtype, run, stride, padding):
    """(value, gradients) of the layer's function, and the same by the references."""
    images, kernel = drawn((2, 9, 8, 8), 1), drawn((3, 3, 2, 12), 2)
    images, kernel = (tf.cast(a, dtype) for a in (images, kernel))
    exact = [np.asarray(a, np.float64) for a in (images, kernel)]
    value = reference(*exact, stride, padding)
    upstream = tf.cast(drawn(value.shape, 3), dtype)

    def call(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = grouped_convolution.grouped_conv2d(
                images, kernel, GROUPS, (stride, stride), padding
            )
        return outputs, *tape.gradient(outputs, [images, kernel], upstream)

    ours = [np.asarray(a, np.float64) for a in RUNS[run](call)(images, kernel)]
    gradients = reference_gradients(*exact, np.asarray(upstream, np.float64), stride, padding)
    return ours, [value, *gradients]


@pytest.mark.parametrize('padding', ['valid', 'same'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('run', RUNS)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_value_and_gradients(dtype, run, stride, padding):
    for ours, exact in zip(*results(dtype, run, stride, padding), strict=True):
        assert ours.shape == exact.shape
        assert np.abs(ours - exact).max() <= TOLERANCE[dtype] * np.abs(exact).max()


@pytest.mark.parametrize('whole', [False, True])
def test_either_way_back_gives_the_same_gradients(whole, monkeypatch):
    if whole and not grouped_gradient_works(tf.float32):
        pytest.skip('this CPU has no gradient of a grouped convolution')
    monkeypatch.setattr(grouped_convolution, 'grouped_gradient_works', lambda dtype: whole)
    for ours, exact in zip(*results('float32', 'graph', 1, 'same'), strict=True):
        assert np.abs(ours - exact).max() <= TOLERANCE['float32'] * np.abs(exact).max()


def test_with_onednn_switched_the_other_way():
    """In a process of its own: TensorFlow reads the switch once, as it is imported."""
    code = (
        'import sys; sys.path.insert(0, sys.argv[1]); import test_grouped_convolution as t; '
        "[t.test_value_and_gradients(d, r, 1, 'same') for d in ('float32', 'bfloat16') "
        "for r in ('eager', 'graph')]"
    )
    folder = pathlib.Path(__file__).parent
    environment = os.environ | {
        'TF_ENABLE_ONEDNN_OPTS': '0' if grouped_gradient_works(tf.float32) else '1',
        'PYTHONPATH': str(folder.parents[2]),
    }
    ran = subprocess.run(
        [sys.executable, '-c', code, str(folder)], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_gradient_is_tried_once_a_type():
    grouped_gradient_works.cache_clear()
    traces = []

    @tf.function
    def step(images, kernel):
        traces.append(images.dtype)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = grouped_convolution.grouped_conv2d(images, kernel, GROUPS)
        return tape.gradient(y, kernel)

    arguments = tf.ones((2, 6, 6, 8)), tf.ones((3, 3, 2, 8))
    for _ in range(3):
        step(*arguments)
    assert len(traces) == 1
    assert grouped_gradient_works.cache_info().misses == 1


def model(dtype='float32', padding='valid'):
    return keras.Sequential(
        [
            keras.Input((8, 8, 8)),
            GroupedConv2D(12, 3, 2, padding, groups=GROUPS, use_bias=True, name='grouped'),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name=f'grouped_{dtype}',
    )


def test_layer_is_keras_layer_with_the_same_variables():
    ours = GroupedConv2D(12, 3, 2, 'same', groups=GROUPS, use_bias=True)
    theirs = keras.layers.Conv2D(12, 3, 2, 'same', groups=GROUPS)
    images = drawn((2, 9, 8, 8), 1).astype('float32')
    ours.build(images.shape)
    theirs.build(images.shape)
    theirs.set_weights([drawn(v.shape, i) for i, v in enumerate(theirs.weights)])
    ours.set_weights(theirs.get_weights())
    assert tuple(ours.kernel.shape) == (3, 3, 2, 12)
    np.testing.assert_allclose(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_a_bias_works_in_a_graph(dtype):
    images = keras.Input((9, 9, 8), dtype=dtype)
    layer = GroupedConv2D(8, 3, groups=4, use_bias=True, activation='relu', dtype=dtype,
                          bias_initializer='ones')
    model = keras.Model(images, layer(images))
    values = tf.cast(np.random.default_rng(0).normal(size=(2, 9, 9, 8)), dtype)
    graph = tf.function(lambda x: model(x, training=False))
    np.testing.assert_array_equal(graph(values).numpy(), model(values).numpy())


@pytest.mark.parametrize('policy', ['mixed_float16', 'mixed_bfloat16'])
@pytest.mark.parametrize('jit', [False, True])
def test_layer_trains_under_mixed_policies(policy, jit):
    keras.config.set_dtype_policy(policy)
    network = model()
    network.compile('sgd', 'mse', jit_compile=jit)
    before = network.get_weights()
    loss = network.train_on_batch(np.ones((2, 8, 8, 8)), np.ones((2, 12)))
    assert np.isfinite(loss)
    assert all(np.any(a != b) for a, b in zip(before, network.get_weights(), strict=True))


def test_keras_file_gives_the_same_answers(tmp_path):
    network, images = model(), drawn((2, 8, 8, 8), 1).astype('float32')
    network.save(tmp_path / 'model.keras')
    loaded = keras.models.load_model(tmp_path / 'model.keras')
    assert isinstance(loaded.get_layer('grouped'), GroupedConv2D)
    np.testing.assert_array_equal(loaded(images), network(images))


def test_saved_model_gives_the_same_answers_and_gradients(tmp_path):
    network, images = model(padding='same'), tf.constant(drawn((2, 8, 8, 8), 1), tf.float32)
    network.export(tmp_path / 'saved', verbose=False)
    saved = tf.saved_model.load(tmp_path / 'saved')
    results = []
    for call in (network, saved.serve):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = call(images)
        results.append((outputs, tape.gradient(outputs, images)))
    for ours, loaded in zip(*results, strict=True):
        np.testing.assert_allclose(ours, loaded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'padding': 'causal'}, 'padding'),
        ({'data_format': 'channels_first'}, 'channels_first'),
        ({'dilation_rate': 2}, 'dilation_rate'),
        ({'filters': 10}, 'evenly divisible'),
    ],
)
def test_unusable_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GroupedConv2D(**({'filters': 12, 'kernel_size': 3, 'groups': GROUPS} | options))


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match='groups=4'):
        GroupedConv2D(12, 3, groups=GROUPS).build((None, 8, 8, 6))
