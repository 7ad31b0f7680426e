"""PNASNet and SENet154 answer as timm does, and would not with the known mistakes made."""

import functools
import json
import math
import pathlib
import sys

import keras
import numpy as np
import pytest

from bsce_tf.models.backbones import pnasnet, senet
from bsce_tf.models.weights import convert_timm

sys.path.append(str(pathlib.Path(__file__).parents[3] / 'tools'))
import drawn_weights  # noqa: E402

REFERENCE = pathlib.Path(__file__).parent / 'reference'
TOLERANCE = 1e-9  # of the largest feature
NETWORKS = {
    'pnasnet5large': pnasnet.pnasnet5large,
    'senet154': senet.senet154,
    'legacy_senet154': functools.partial(senet.senet154, legacy=True),
}
CASES = {
    case.filename.removesuffix('.npz'): case
    for network in NETWORKS
    for case in drawn_weights.cases(network)
}


@pytest.fixture(autouse=True)
def _float64(monkeypatch):
    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    # Every weight is set by the conversion: drawing it before would only take time.
    monkeypatch.setattr(keras.initializers.VarianceScaling, '__call__', zeros)
    keras.config.set_floatx('float64')
    keras.config.set_dtype_policy('float64')
    yield
    keras.config.set_floatx('float32')


def build(network, shallow):
    """Our network for any size of image, with pooling and a head of 1,000 classes."""
    cut = {}
    if shallow and network == 'pnasnet5large':
        cut = {'cells': drawn_weights.SHALLOW_CELLS}
    elif shallow:
        cut = {'depths': drawn_weights.SHALLOW_DEPTHS}
    backbone = NETWORKS[network]((None, None, 3), **cut)
    pooled = keras.layers.GlobalAveragePooling2D(name='features')(backbone.output)
    logits = keras.layers.Dense(1000, name='head')(pooled)
    return keras.Model(backbone.input, [backbone.output, logits], name=network)


def drawn(network, shallow):
    """The same, with the state dict that timm had, by timm's own list of keys and shapes."""
    case = next(c for c in CASES.values() if (c.network, c.shallow) == (network, shallow))
    reference = np.load(REFERENCE / case.filename)
    state = drawn_weights.draw_state(json.loads(str(reference['state'])))
    model = build(network, shallow)
    report = convert_timm.assign(model, convert_timm.convert(model, state, 'drawn'), 'drawn')
    assert (report.head, report.variables) == ('converted', len(model.weights))
    trainable = sum(math.prod(v.shape) for v in model.trainable_weights)
    assert trainable == reference['parameters']
    return model


shared = functools.lru_cache(maxsize=3)(drawn)  # building takes longer than answering


def largest_difference(case, model):
    """Between ours and timm's features and logits, as a fraction of the largest feature."""
    reference = np.load(REFERENCE / case.filename)
    features, logits = model(drawn_weights.images(case), training=case.training)
    ours = drawn_weights.summary(features) | {'logits': logits.numpy()}
    assert tuple(ours['shape']) == tuple(reference['shape'])
    compared = {'pooled', 'every', 'largest', 'logits'} & set(reference.files)
    return max(np.abs(ours[k] - reference[k]).max() for k in compared) / reference['largest']


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if case.shallow else pytest.mark.large)
        for name, case in CASES.items()
    ],
)
def test_features_and_logits_are_those_of_timm(name):
    case = CASES[name]
    assert largest_difference(case, shared(case.network, case.shallow)) < TOLERANCE


@pytest.mark.parametrize(
    ('network', 'parameters', 'features'),
    [('pnasnet5large', 81_736_668, 4_320), ('senet154', 113_039_984, 2_048)],
)
def test_whole_network_has_the_original_parameters(network, parameters, features):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit // 2)  # here only: to see that no network needs half of it
    try:
        backbone = NETWORKS[network]((96, 96, 3))
        backbone(np.zeros((1, 96, 96, 3)))
    finally:
        sys.setrecursionlimit(limit)
    assert sum(math.prod(v.shape) for v in backbone.trainable_weights) == parameters
    assert backbone.output_shape == (None, 3, 3, features)


def same_padding(x, filters, size, name, *, stride=1, groups=1):
    layer = senet.GroupedConv2D if groups > 1 else keras.layers.Conv2D
    options = {'groups': groups} if groups > 1 else {}
    return layer(filters, size, stride, 'same', use_bias=False, name=name, **options)(x)


def gluon_pool(x, legacy):
    del legacy
    return STEM_POOL(x, False)


STEM_POOL = senet.stem_pool
MISTAKES = {
    'padding': ('senet154-shallow-224', senet, 'convolve', same_padding),
    'shift': ('pnasnet5large-shallow-224', pnasnet, 'shift', lambda x, name: x),
    'stem': ('legacy_senet154-shallow-224', senet, 'stem_pool', gluon_pool),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistake_in_the_graph_is_seen(mistake, monkeypatch):
    name, *patch = MISTAKES[mistake]
    monkeypatch.setattr(*patch)
    case = CASES[name]
    assert largest_difference(case, drawn(case.network, shallow=True)) > 0.05


@pytest.mark.parametrize(
    ('name', 'wrong'), [('pnasnet5large-shallow-224', 1e-5), ('senet154-shallow-224', 1e-3)]
)
def test_wrong_epsilon_is_seen(name, wrong, monkeypatch):
    case = CASES[name]
    model = shared(case.network, True)
    for layer in normalisations(model):
        monkeypatch.setattr(layer, 'epsilon', wrong)
    # Some ten thousandths, for variances near one: five orders above the tolerance.
    assert largest_difference(case, model) > 1e5 * TOLERANCE


def normalisations(layer):
    if isinstance(layer, keras.layers.BatchNormalization):
        yield layer
    for inner in getattr(layer, 'layers', ()):
        yield from normalisations(inner)
