"""PNASNet and SENet154, shrunken: sizes, policies, XLA, saving, training, what is refused."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.models.backbones import pnasnet, senet


def little_pnasnet(input_shape=(96, 96, 3), **options):
    options = {'filters': 8, 'cells': 1, 'stem_filters': 8} | options
    return pnasnet.pnasnet5large(input_shape, **options)


def little_senet(input_shape=(96, 96, 3), **options):
    options = {'depths': (1, 2), 'width': 8, 'groups': 8, 'stem_widths': (4, 4, 8)} | options
    return senet.senet154(input_shape, **options)


@functools.cache
def shared(build, *arguments, **options):
    """A model for tests that leave it as it is: building takes longer than answering."""
    return build(*arguments, **options)


NETWORKS = {'pnasnet5large': little_pnasnet, 'senet154': little_senet}
every_network = pytest.mark.parametrize('build', NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def images(height=96, width=None, batch=2):
    shape = (batch, height, width or height, 3)
    return np.random.default_rng(1).normal(size=shape).astype('float32')


@pytest.mark.parametrize(('height', 'width'), [(96, 96), (97, 130)])
def test_pnasnet_takes_any_size(height, width):
    model = shared(little_pnasnet, (None, None, 3))
    sides = []
    for side in (height, width):
        side = (side - 3) // 2 + 1  # the first convolution is not padded
        for _ in range(4):
            side = -(-side // 2)
        sides.append(side)
    assert model(images(height, width)).shape == (2, *sides, 20 * 8)


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize(('height', 'width'), [(96, 96), (97, 130), (225, 224)])
def test_senet_takes_any_size(height, width, legacy):
    model = shared(little_senet, (None, None, 3), legacy=legacy)
    sides = []
    for side in (height, width):
        side = -(-side // 2)
        # Ceil mode without padding, or a pixel of padding on both sides.
        side = -(-(side - 3) // 2) + 1 if legacy else -(-side // 2)
        sides.append(-(-side // 2))
    assert model(images(height, width)).shape == (2, *sides, 64)


@every_network
def test_size_of_a_dynamic_model_does_not_matter(build):
    fixed, free = shared(build), shared(build, (None, None, 3))
    free.set_weights(fixed.get_weights())
    np.testing.assert_array_equal(fixed(images()), free(images()))


@every_network
@pytest.mark.parametrize('policy', ['mixed_float16', 'bfloat16'])
def test_lower_precision_is_near_float32(build, policy):
    exact = shared(build)
    keras.config.set_dtype_policy(policy)
    model = build()
    model.set_weights(exact.get_weights())
    features = np.asarray(tf.cast(model(images()), tf.float32))
    reference = exact(images()).numpy()
    assert model.compute_dtype in policy
    assert np.linalg.norm(features - reference) < 0.1 * np.linalg.norm(reference)


@pytest.mark.parametrize('part', ['cell_stem_0', 'cell_stem_1'])
def test_xla_gives_the_same_cell(part):
    """The two hold every operation of the network; all of its cells take long to compile."""
    cell = shared(little_pnasnet).get_layer(part)
    inputs = [np.random.default_rng(2).normal(size=(2, *x.shape[1:])) for x in cell.inputs]
    check_xla(cell, [x.astype('float32') for x in inputs])


def test_xla_gives_the_same_features():
    check_xla(shared(little_senet), [images()])


def check_xla(model, inputs):
    inputs = inputs if len(inputs) > 1 else inputs[0]
    plain = model(inputs).numpy()
    compiled = tf.function(model, jit_compile=True)(inputs).numpy()
    np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-4 * np.abs(plain).max())


@every_network
def test_keras_file_gives_the_same_features(build, tmp_path):
    model = shared(build)
    model.save(tmp_path / 'model.keras')
    loaded = keras.models.load_model(tmp_path / 'model.keras')
    np.testing.assert_array_equal(loaded(images()), model(images()))


@every_network
def test_every_trainable_weight_has_a_gradient(build):
    model = shared(build)
    with tf.GradientTape() as tape:
        features = model(images(), training=True)
        loss = tf.reduce_mean(features * tf.random.normal(features.shape))
    gradients = tape.gradient(loss, model.trainable_weights)
    for variable, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.any(gradient), variable.path


@every_network
def test_layers_are_named_by_their_module(build):
    names = [v.path.split('/')[-2] for v in shared(build).weights]
    assert all('.' in name or name == 'bn1' for name in names)


@every_network
@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((95, 331, 3), 'images of 95 x 331 pixels are too small, the smallest are 96 x 96'),
        ((224, 224, 1), r'input_shape is \(224, 224, 1\), expected \(height, width, 3\)'),
        ((224, 224), r'input_shape is \(224, 224\), expected'),
    ],
)
def test_what_the_network_cannot_take_is_refused(build, shape, message):
    with pytest.raises(InputError, match=message) as error:
        build(shape)
    assert '\n' not in str(error.value)
