"""ONNX and LiteRT files answer as the networks do, whose crops and heads are made again here."""

import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from bsce_tf.data.view import View
from bsce_tf.errors import InputError, RunError
from bsce_tf.models import network
from bsce_tf.serving import export, freeze
from bsce_tf.serving.formats import answers, comparison, litert, onnx, servers, write
from tests.serving.exported import pictures
from tests.serving.test_export import decoded, probabilities
from tests.smoke import smoke

MODULES = pytest.mark.parametrize('module', [onnx, litert], ids=['onnx', 'litert'])


@pytest.fixture(scope='module')
def both(runs, tmp_path_factory):
    """Folder of a version of two runs, with both files and no SavedModel."""
    config = smoke(**{'export.format': 'onnx,litert', 'export.name': 'Shop_2',
                      'export.folder': str(tmp_path_factory.mktemp('formats'))})
    return export.export(config, ','.join(map(str, runs)))


@MODULES
def test_two_models_vote(runs, both, module):
    images = [decoded(data) for data in pictures()]
    own = [probabilities(folder, pictures())[0] for folder in runs]
    names = json.loads((runs[0] / 'classes.json').read_text())
    votes = sum(np.eye(6, dtype=int)[p.argmax(1)] for p in own)
    mean = np.mean(own, axis=0)
    ask = module.load(both / module.FILE)
    for i, image in enumerate(images):
        found = ask(image[None])
        order = sorted(range(6), key=lambda k: (-votes[i, k], -mean[i, k]))[:5]
        assert found['class_ids'].tolist() == [order]
        assert found['class_names'].tolist() == [[names[k].encode() for k in order]]
        assert found['votes'].tolist() == [votes[i, order].tolist()]
        np.testing.assert_allclose(found['scores'], mean[i:i + 1, order], atol=2e-3)
    pair = ask(np.stack([images[0], images[0][::-1]]))
    assert pair['scores'].shape == (2, 5)
    np.testing.assert_allclose(pair['scores'][0], ask(images[0][None])['scores'][0], atol=1e-5)


def test_the_version_says_what_it_is(both):
    assert {path.name for path in both.iterdir()} == {'README.md', 'assets', 'model.onnx',
                                                      'model.tflite'}
    told = json.loads((both / 'assets' / 'export.json').read_text())['files']
    assert [(file['file'], file['weights']) for file in told] == [
        ('model.onnx', 'float32'), ('model.tflite', 'float32')]
    assert all(file['difference'] <= 1e-3 for file in told)
    assert 'model.tflite: LiteRT, float32 weights' in (both / 'README.md').read_text()


def test_triton_and_kserve_find_their_files(both, capsys):
    text = (both.parent / servers.TRITON).read_text()
    assert re.findall(r'name: "(\w+)"', text) == ['Shop_2', 'images', 'class_names', 'class_ids',
                                                  'scores', 'votes']
    assert text.count('{') == text.count('}')
    told = yaml.safe_load((both.parent / servers.KSERVE).read_text())
    assert told['metadata']['name'] == 'shop-2'
    assert told['spec']['predictor']['model']['modelFormat'] == {'name': 'triton'}
    (both.parent / servers.TRITON).write_text('mine')
    servers.write(both.parent, 'Shop_2', True, ['onnx'], True)
    assert f'{servers.TRITON}: stays as it is' in capsys.readouterr().out
    assert (both.parent / servers.TRITON).read_text() == 'mine'
    (both.parent / servers.TRITON).write_text(text)


def test_triton_is_not_mentioned_where_it_has_no_file(tmp_path):
    servers.write(tmp_path, 'shop', True, ['litert'], False)
    assert [path.name for path in tmp_path.iterdir()] == [servers.KSERVE]
    assert 'name: tensorflow' in (tmp_path / servers.KSERVE).read_text()


def wide():
    """A `Network` of weights large enough to be narrowed, with a grouped convolution."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(64, 3, activation='relu')(layers.Rescaling(1 / 127.5, -1)(inputs))
    x = layers.Conv2D(64, 3, groups=4, activation='relu')(x)
    x = layers.GlobalAveragePooling2D(name='features')(x)
    outputs = layers.Dense(40, name='logits')(x)
    return network.of(keras.Model(inputs, outputs), View(16, (16, 20)))


IMAGES = np.random.default_rng(1).integers(0, 256, (3, 30, 24, 3), np.uint8)


@MODULES
@pytest.mark.parametrize(('weights', 'bytes_each', 'most'), [
    ('float32', 4, 1e-5), ('float16', 2, 1e-4), ('int8', 1, 3e-3)])
def test_narrow_weights_make_smaller_files_that_differ_little(module, weights, bytes_each, most,
                                                              tmp_path):
    made = wide()
    answered = answers.Answers([made], [f'class {k}' for k in range(40)], 40)
    module.write(answered, tmp_path / module.FILE, weights)
    found = module.load(tmp_path / module.FILE)(IMAGES)
    own = tf.nn.softmax(made.logits(made.features(tf.stack(
        [made.view.centre(image) for image in IMAGES])))).numpy()
    scores = np.take_along_axis(found['scores'], np.argsort(found['class_ids'], axis=1), axis=1)
    assert 0 < np.abs(scores - own).max() < most
    numbers = freeze.size_of((made.body, made.head)) / 4
    size = (tmp_path / module.FILE).stat().st_size
    assert bytes_each * numbers < size < bytes_each * numbers + 30_000


def grey(module, folder):
    """File of a network of grey images, as small as one can be."""
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.GlobalAveragePooling2D(name='features')(inputs)
    made = network.of(keras.Model(inputs, keras.layers.Dense(4, name='logits')(x)),
                      View(16, (16,), channels=1))
    module.write(answers.Answers([made], list('abcd'), 4), folder / module.FILE, 'float32')
    return folder / module.FILE


@MODULES
@pytest.mark.parametrize('kind', ['colour', 'grey'])
def test_a_file_refuses_what_is_no_colour_image(module, kind, both, tmp_path):
    ask = module.load(both / module.FILE if kind == 'colour' else grey(module, tmp_path))
    before = ask(IMAGES)['scores']
    assert np.isfinite(ask(IMAGES[:, :1, :1])['scores']).all()  # any height and width
    for wrong in (IMAGES[:0], IMAGES[:, :0], IMAGES[:, :, :0], IMAGES[..., :1], IMAGES[..., :2],
                  np.concatenate([IMAGES, IMAGES[..., :1]], axis=-1), IMAGES[0],
                  IMAGES.astype(np.float32), IMAGES.astype(np.int64)):
        with pytest.raises(Exception, match=r'ONNXRuntimeError|reshape|Cannot set tensor|RESHAPE'):
            ask(wrong)
    np.testing.assert_array_equal(ask(IMAGES)['scores'], before)  # it goes on as before


def test_int8_weights_are_the_nearest_of_255_steps(tmp_path):
    import onnx as library

    made = wide()
    onnx.write(answers.Answers([made], list('abcdefgh') * 5, 5), tmp_path / 'model.onnx', 'int8')
    stored = {tensor.name: library.numpy_helper.to_array(tensor)
              for tensor in library.load(tmp_path / 'model.onnx').graph.initializer}
    scales = {name: x for name, x in stored.items() if name.endswith('_int8_scale')}
    assert len(scales) == 3
    kernels = sorted((w.numpy() for w in (*made.body.weights, *made.head.weights)
                      if len(w.shape) > 1), key=np.size)
    narrow = sorted((name for name in scales), key=lambda name: stored[name[:-6]].size)
    for kernel, name in zip(kernels, narrow, strict=True):
        whole, scale = stored[name.removesuffix('_scale')].astype(np.float64), scales[name]
        side = kernel.shape[-1]
        np.testing.assert_allclose(np.abs(kernel).reshape(-1, side).max(0) / 127, scale, rtol=1e-6)
        axis = 0 if whole.ndim == 4 else 1
        values = np.moveaxis(whole, axis, -1) * scale
        if whole.ndim == 4:  # output, input, height, width
            values = np.moveaxis(whole * scale[:, None, None, None], (2, 3, 1, 0), (0, 1, 2, 3))
        assert np.abs(values - kernel).max() <= scale.max() * 0.5001


def test_errors_are_means_over_the_classes(monkeypatch):
    labels, own, found = [0, 0, 0, 1], iter([0, 0, 1, 1]), iter([0, 2, 2, 0])
    monkeypatch.setattr(comparison.check, 'probabilities_of',
                        lambda *_: np.eye(3)[None, [next(own)]])
    examples = [(tf.zeros([2, 2, 3], tf.uint8), label) for label in labels]
    count, before, ((after, changed), _) = comparison.errors([
        lambda _: {'class_ids': np.array([[next(found)]])},
        lambda _: {'class_ids': np.array([[1]])}], [], examples)
    assert (count, before, after, changed) == pytest.approx(
        (4, (1 / 3 + 0) / 2, (2 / 3 + 1) / 2, 3 / 4))


def test_the_error_of_narrow_weights_is_measured(runs, tmp_path, capsys):
    config = smoke(**{'export.format': 'onnx', 'export.weights': 'int8', 'export.measured': 20,
                      'export.folder': str(tmp_path)})
    version = export.export(config, runs[0])
    (told,) = json.loads((version / 'assets' / 'export.json').read_text())['files']
    assert told['images'] == 20
    assert 0 <= told['before'] <= 1
    line = (f'mean top-1 error on 20 images {told["before"]:.4f} before and {told["after"]:.4f} '
            'after')
    assert line in capsys.readouterr().out
    assert line in (version / 'README.md').read_text()


@MODULES
def test_a_file_of_other_answers_is_withdrawn(module, runs, tmp_path, monkeypatch):
    real = module.write

    def other(answered, path, weights):
        changed = answers.Answers([answered._networks[0]._replace(shift=np.arange(6.0))],
                                  answered._names, 5)
        real(changed, path, weights)

    monkeypatch.setattr(module, 'write', other)
    kind = next(kind for kind, value in write.FORMATS.items() if value is module)
    with pytest.raises(RunError, match=rf'{module.TITLE}: scores: found .* Nothing was exported'):
        export.export(smoke(**{'export.format': kind, 'export.folder': str(tmp_path)}), runs[0])
    assert not list(tmp_path.rglob('*.*'))


def test_folding_gone_wrong_is_noticed(runs, tmp_path, monkeypatch):
    def wrong(body):
        copy, number = fold_batch_norms(body)
        copy.weights[0].assign(copy.weights[0] * 1.2)
        return copy, number

    fold_batch_norms = export.fold.fold_batch_norms
    monkeypatch.setattr(export.fold, 'fold_batch_norms', wrong)
    with pytest.raises(RunError, match='ONNX: .* Nothing was exported'):
        export.export(smoke(**{'export.format': 'onnx', 'export.folder': str(tmp_path)}), runs[0])


def test_the_error_is_not_measured_on_other_classes(runs, tmp_path, monkeypatch, capsys):
    def other(*_):
        raise InputError('the classes are others.')

    monkeypatch.setattr(export.samples.run_data, 'load', other)
    export.export(smoke(**{'export.format': 'onnx', 'export.weights': 'float16',
                           'export.folder': str(tmp_path)}), runs[0])
    assert 'its error was not measured: the classes are others.' in capsys.readouterr().out


@MODULES
def test_an_op_that_a_format_lacks_is_named(module, tmp_path):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Lambda(lambda x: tf.math.bessel_i0e(x))(inputs)
    x = keras.layers.GlobalAveragePooling2D(name='features')(x)
    made = network.of(keras.Model(inputs, keras.layers.Dense(4)(x)), View(16, (16,)))
    with pytest.raises(InputError, match=rf'{module.TITLE} has no BesselI0e'):
        module.write(answers.Answers([made], list('abcd'), 4), tmp_path / 'model', 'float32')


def test_what_cannot_be_written_is_refused_before_anything(runs, both, tmp_path, monkeypatch):
    def export_with(**fields):
        fields = {'folder': str(tmp_path), **fields}
        return export.export(smoke(**{f'export.{key}': x for key, x in fields.items()}), runs[0])

    with pytest.raises(InputError, match='export.by: found both with export.format = onnx'):
        export_with(format='onnx', by='both')
    with pytest.raises(InputError, match=r'Shop_2/1 has no SavedModel.*another export.name'):
        export_with(folder=str(both.parents[1]), name='Shop_2')
    with pytest.raises(InputError, match=r'Shop_2/1 has an ONNX file.*would have none'):
        export_with(folder=str(both.parents[1]), name='Shop_2', format='litert')
    with pytest.raises(InputError, match='export.weights: found int8 with export.format = saved'):
        export_with(weights='int8')
    with monkeypatch.context() as patch:
        patch.setattr(freeze, 'LARGEST', 1000)
        with pytest.raises(InputError, match='export.format: found litert for 0.0 GB of weights'):
            export_with(format='litert')
    for module, kind in (('tf2onnx', 'onnx'), ('ai_edge_litert.interpreter', 'litert')):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(InputError, match=rf"pip install 'bsce-tf\[{kind}\]'"):
                export_with(format=kind)
    assert not list(tmp_path.iterdir())
