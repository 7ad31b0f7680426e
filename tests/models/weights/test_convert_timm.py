"""Conversion is strict both ways, changes nothing when it fails, and says what it found."""

import dataclasses
import hashlib
import pathlib
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from bsce_tf.errors import InputError
from bsce_tf.models.backbones import pnasnet, senet
from bsce_tf.models.weights import Weights, convert_timm, published

sys.path.append(str(pathlib.Path(__file__).parents[3] / 'tools'))
import drawn_weights  # noqa: E402

SUFFIXES = {
    'kernel': 'weight',
    'gamma': 'weight',
    'beta': 'bias',
    'bias': 'bias',
    'moving_mean': 'running_mean',
    'moving_variance': 'running_var',
}


def network(classes=10, seed=0):
    """A convolution, a depthwise one, BatchNorm, nested, and a head."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 4), name='inner')
    x = keras.layers.Conv2D(4, 3, use_bias=False, name='layer1.0.conv1')(inputs)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name='layer1.0.conv2')(x)
    x = keras.layers.BatchNormalization(name='layer1.0.bn2')(x)
    block = keras.Model(inputs, x, name='layer1.0')
    images = keras.Input((8, 8, 4))
    x = keras.layers.GlobalAveragePooling2D()(block(images))
    if classes:
        x = keras.layers.Dense(classes, name='head')(x)
    return keras.Model(images, x, name='little')


def state(classes=10):
    """What timm would have saved of it."""
    shapes = {
        'layer1.0.conv1.weight': (4, 4, 3, 3),
        'layer1.0.conv2.weight': (4, 1, 3, 3),
        'layer1.0.bn2.num_batches_tracked': (),
        'fc.weight': (classes, 4),
        'fc.bias': (classes,),
    }
    for name in ('weight', 'bias', 'running_mean', 'running_var'):
        shapes[f'layer1.0.bn2.{name}'] = (4,)
    return drawn_weights.draw_state(shapes)


def saved(path, tensors):
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    return path


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path / 'little.safetensors', state())


def values(model):
    return {v.path: np.array(v) for v in model.weights}


def test_every_variable_is_set_in_keras_layout(path):
    model = network()
    report = convert_timm.load(model, path)
    assert report == convert_timm.Report(len(model.weights), 'converted')
    ours, theirs = values(model), state()
    for layer, kind, axes in (
        ('layer1.0.conv1', 'kernel', (2, 3, 1, 0)),
        ('layer1.0.conv2', 'kernel', (2, 3, 0, 1)),
        ('layer1.0.bn2', 'gamma', (0,)),
        ('layer1.0.bn2', 'beta', (0,)),
        ('layer1.0.bn2', 'moving_mean', (0,)),
        ('layer1.0.bn2', 'moving_variance', (0,)),
        ('head', 'kernel', (1, 0)),
        ('head', 'bias', (0,)),
    ):
        module = 'fc' if layer == 'head' else layer
        expected = theirs[f'{module}.{SUFFIXES[kind]}'].transpose(axes).astype('float32')
        np.testing.assert_array_equal(ours[f'{layer}/{kind}'], expected)


def test_layers_with_other_names_are_found_by_their_modules(path):
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name='stem')(inputs)
    model = keras.Model(inputs, x)
    tensors = {'layer1.0.conv1.weight': state()['layer1.0.conv1.weight']}
    saved(path, tensors)
    assert convert_timm.load(model, path, modules={'stem': 'layer1.0.conv1'}).variables == 1


def without(key):
    return {k: v for k, v in state().items() if k != key}


@pytest.mark.parametrize(
    ('tensors', 'message'),
    [
        (without('layer1.0.bn2.bias'), r'1 missing \(layer1.0.bn2.bias\) of the 6 keys of little'),
        (state() | {'extra.weight': np.zeros(3)}, r'1 left over \(extra.weight\) of the 6 keys'),
        (
            state() | {'layer1.0.conv2.weight': np.zeros((4, 1, 5, 5))},
            r'layer1.0.conv2.weight has shape \[4, 1, 5, 5\], little expects \[4, 1, 3, 3\]',
        ),
        (
            {f'block.{i}.weight': np.zeros(3) for i in range(7)},
            r'6 missing \(.* and 1 more\) and 7 left over \(.* and 2 more\) .* another network\?',
        ),
    ],
    ids=['missing', 'left over', 'shape', 'another network'],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tensors, message, path):
    model = network()
    before = values(model)
    saved(path, tensors)
    with pytest.raises(InputError, match=message) as error:
        convert_timm.load(model, path)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_of_one_senet154_are_refused_by_the_other():
    legacy, gluon = (
        senet.senet154(depths=(1,), width=8, groups=8, stem_widths=(4, 4, 8), legacy=legacy)
        for legacy in (True, False)
    )
    arrays = {'/'.join(v.path.split('/')[-2:]): np.array(v) for v in legacy.weights}
    with pytest.raises(InputError, match=r'missing \(conv1.0/kernel.* left over \(layer0.conv1'):
        convert_timm.assign(gluon, arrays, 'legacy')


def test_head_of_another_class_count_is_left_as_made_and_said(path):
    model = network(classes=7)
    before = values(model)
    report = convert_timm.load(model, path)
    assert report.head == 'new'
    assert report.message == (
        f"{path}: has a classifier of 10 classes; the layer 'head' (kernel [4, 7], bias [7]) is "
        'left as made new'
    )
    after = values(model)
    for name in after:
        changed = np.any(after[name] != before[name])
        assert changed != name.startswith('head')


def test_what_is_said_is_logged(path, caplog):
    with caplog.at_level('INFO', logger='absl'):
        convert_timm.load(network(classes=0), path)
    assert "its classifier is left out, the model has no layer 'head'" in caplog.text


WEIGHTS = Weights(repository='timm/little', filename='little.safetensors')


class Hub:
    """A hub that has one file, and counts how often it is asked."""

    def __init__(self, content, digest=None):
        self.content, self.asked = content, 0
        self.digest = digest or hashlib.sha256(content).hexdigest()

    def __call__(self, weights, path):
        self.asked += 1
        path.write_bytes(self.content)
        return self.digest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('BSCE_TF_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.mark.usefixtures('cache')
def test_published_weights_are_fetched_once(path):
    hub = Hub(path.read_bytes())
    models = [network(seed=i) for i in range(2)]
    for model in models:
        assert published.load(model, WEIGHTS, fetch=hub).head == 'converted'
    assert hub.asked == 1
    reference = network()
    convert_timm.load(reference, path)
    for model in models:
        for name, value in values(model).items():
            np.testing.assert_array_equal(value, values(reference)[name])


def test_only_the_converted_file_is_kept(path, cache):
    published.load(network(), WEIGHTS, fetch=Hub(path.read_bytes()))
    assert [p.name for p in (cache / 'timm--little').iterdir()] == ['little.npz']


def test_cached_weights_serve_heads_of_any_class_count(path, cache):
    published.load(network(classes=7), WEIGHTS, fetch=Hub(path.read_bytes()))
    assert published.load(network(), WEIGHTS, fetch=None).head == 'converted'
    assert (cache / 'timm--little' / 'little.npz').exists()


def test_a_file_with_another_digest_is_refused_and_not_kept(path, cache):
    with pytest.raises(InputError, match='has sha256 [0-9a-f]{64}, the published file 00ff'):
        published.load(network(), WEIGHTS, fetch=Hub(path.read_bytes(), '00ff'))
    assert not list((cache / 'timm--little').iterdir())


def test_without_a_network_the_place_for_the_file_is_said(path, cache):
    def offline(weights, path):
        raise OSError('no route to host\nsecond line')

    with pytest.raises(InputError) as error:
        published.load(network(), WEIGHTS, fetch=offline)
    place = cache / 'timm--little' / 'little.safetensors'
    assert str(error.value) == (
        'little.safetensors of https://huggingface.co/timm/little cannot be fetched (no route to '
        f'host): expected internet access, or the file at {place}'
    )
    place.write_bytes(path.read_bytes())
    assert published.load(network(), WEIGHTS, fetch=offline).head == 'converted'
    assert place.exists()


def test_the_hub_is_asked_for_the_digest_and_that_very_commit(path, cache, monkeypatch):
    import huggingface_hub

    content = path.read_bytes()
    metadata = type('Metadata', (), {'etag': hashlib.sha256(content).hexdigest()})
    metadata.commit_hash = 'abc123'
    asked = []

    def download(repository, filename, *, revision, local_dir):
        asked.append((repository, filename, revision))
        (pathlib.Path(local_dir) / filename).write_bytes(content)

    urls = []
    monkeypatch.setattr(huggingface_hub, 'get_hf_file_metadata',
                        lambda url, timeout: urls.append(url) or metadata)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
    assert published.load(network(), WEIGHTS).head == 'converted'
    assert asked == [('timm/little', 'little.safetensors', 'abc123')]
    pinned = dataclasses.replace(WEIGHTS, revision='v1', sha256=metadata.etag[:8])
    assert published.load(network(), pinned).head == 'converted'
    assert urls[-1].endswith('/timm/little/resolve/v1/little.safetensors')
    assert (cache / 'timm--little@v1' / 'little.npz').exists()  # not that of another revision
    (cache / 'timm--little@v1' / 'little.npz').unlink()
    with pytest.raises(InputError, match='the published file 00ff'):
        published.load(network(), dataclasses.replace(pinned, sha256='00ff'))
    metadata.etag = 'f' * 40
    (cache / 'timm--little' / 'little.npz').unlink()
    with pytest.raises(InputError, match='the hub gives no sha256'):
        published.load(network(), WEIGHTS)


def test_a_release_file_is_fetched_by_its_address(path, cache, tmp_path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    there = Weights(
        repository=tmp_path.as_uri(), filename='little.safetensors', sha256=digest
    )
    assert published.load(network(), there).head == 'converted'


def test_a_damaged_cache_is_named(path, cache):
    published.load(network(), WEIGHTS, fetch=Hub(path.read_bytes()))
    kept = cache / 'timm--little' / 'little.npz'
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(InputError, match='little.npz: damaged'):
        published.load(network(), WEIGHTS, fetch=None)


def test_tables_of_weights_are_complete():
    for weights in (*pnasnet.WEIGHTS.values(), *senet.WEIGHTS.values()):
        assert weights.top1 is None or weights.source
        assert weights.licence == 'apache-2.0'
        assert '://' not in weights.repository or weights.sha256
