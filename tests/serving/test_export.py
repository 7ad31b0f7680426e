import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from bsce_tf.data.images import decode
from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation import networks
from bsce_tf.serving import export, fold, freeze, publish
from bsce_tf.training.train import train
from tests.serving import exported
from tests.serving.exported import LIBRARIES, ask_c_api, encoded, pictures
from tests.smoke import smoke


def decoded(data):
    """Pixels by Pillow, not by the code under test."""
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def probabilities(folder, images):
    """float64 `[n, K]` and averaged features of a run: crops by `tf.image`, the head in NumPy."""
    network = networks.load(folder)
    view = network.view
    rows, features = [], []
    for pixels in map(decoded, images):
        crops = []
        for scale in view.scales:
            height = width = scale
            if view.aspect == 'keep':
                shape = np.array(pixels.shape[:2]) * (scale / min(pixels.shape[:2]))
                height, width = np.round(shape).astype(int)
            resized = tf.image.resize(pixels, (height, width)).numpy()
            top, left = (height - view.size) // 2, (width - view.size) // 2
            crops.append(resized[top:top + view.size, left:left + view.size])
        crops = np.floor(np.stack(crops) + 0.5).astype(np.float32)
        mean = network.body.predict(crops, verbose=0).astype(np.float64).mean(0)
        kernel, bias = (w.astype(np.float64) for w in network.head.get_weights())
        logits = mean @ kernel + bias
        rows.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
        features.append(mean)
    names = json.loads((folder / 'classes.json').read_text())
    return np.stack(rows), np.stack(features), names


def listed_models(base):
    models = text_format.Parse((base / 'models.config').read_text(),
                               model_server_config_pb2.ModelServerConfig())
    return [(m.name, m.base_path) for m in models.model_config_list.config]


def test_one_model_answers_the_c_library_as_numpy_does(runs, single):
    images = pictures()[:4]  # Pillow decodes these to the same pixels
    (answer, features), _ = zip(*(ask_c_api(single, [images], s) for s in (
        'serving_default', 'features')), strict=True)
    (answer,), (features,) = answer, features
    own, own_features, names = probabilities(runs[0], images)
    order = np.argsort(-own, axis=1)[:, :5]
    np.testing.assert_array_equal(answer['class_ids'], order)
    np.testing.assert_allclose(answer['scores'], np.take_along_axis(own, order, 1), atol=2e-3)
    assert answer['class_names'].tolist() == np.array(names)[order].tolist()
    np.testing.assert_allclose(features['features'], own_features, atol=0.02)
    assert answer.keys() == {'class_ids', 'class_names', 'scores'}


def test_two_models_vote(runs, pair):
    images = pictures()[:4]
    (answer,), _ = ask_c_api(pair, [images])
    own = [probabilities(folder, images)[0] for folder in runs]
    votes = sum(np.eye(6, dtype=int)[p.argmax(1)] for p in own)
    mean = np.mean(own, axis=0)
    for i in range(len(images)):
        order = sorted(range(6), key=lambda k: (-votes[i, k], -mean[i, k]))
        assert answer['class_ids'][i].tolist() == order  # all 6, though top_k is 9
        np.testing.assert_array_equal(answer['votes'][i], votes[i, order])
        np.testing.assert_allclose(answer['scores'][i], mean[i, order], atol=2e-3)
    (features,), _ = ask_c_api(pair, [images], 'features')
    assert {name: x.shape for name, x in features.items()} == {
        'features_1': (4, 24), 'features_2': (4, 24)}


def test_decoded_images_get_the_same_answer(single, pair):
    data = pictures()[0]
    for folder in (single, pair):
        signatures = exported.signatures(folder)
        encoded_answer = signatures['serving_default'](image_bytes=tf.constant([data, data]))
        images = np.stack([decoded(data)] * 2)
        decoded_answer = signatures['predict_images'](images=tf.constant(images))
        assert encoded_answer.keys() == decoded_answer.keys()
        for name in encoded_answer:
            if name == 'scores':
                np.testing.assert_allclose(encoded_answer[name], decoded_answer[name], atol=1e-6)
            else:
                np.testing.assert_array_equal(encoded_answer[name], decoded_answer[name])
        for shape in ((0, 9, 9, 3), (2, 1, 700, 3)):
            answer = signatures['predict_images'](images=tf.zeros(shape, tf.uint8))
            assert len(answer['scores']) == shape[0]
    nothing = signatures['predict_images'](images=tf.zeros((1, 0, 5, 3), tf.uint8))
    assert nothing['class_ids'].numpy().max() == -1


def test_tensorflows_own_tool_runs_it(single, tmp_path):
    np.save(tmp_path / 'images.npy', np.array(pictures()[:2]))
    result = subprocess.run(
        [sys.executable, LIBRARIES / 'python' / 'tools' / 'saved_model_cli.py', 'run', '--dir',
         single, '--tag_set', 'serve', '--signature_def', 'serving_default', '--inputs',
         f'image_bytes={tmp_path / "images.npy"}', '--outdir', tmp_path],
        capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    (own,), _ = ask_c_api(single, [pictures()[:2]])
    np.testing.assert_allclose(np.load(tmp_path / 'scores.npy'), own['scores'], atol=1e-6)
    names = np.load(tmp_path / 'class_names.npy', allow_pickle=True)
    assert [[x.decode() for x in row] for row in names] == own['class_names'].tolist()


def test_weights_are_in_the_graph_or_beside_it(single, pair):
    variables = 'variables/variables.data-00000-of-00001'
    assert (single / variables).stat().st_size < 10_000 < (pair / variables).stat().st_size
    for folder, notes in ((single, ['3 BatchNorms folded', 'weights frozen']),
                          (pair, ['6 BatchNorms folded'])):
        assert json.loads((folder / 'assets' / 'export.json').read_text())['notes'] == notes


def test_weights_too_large_for_a_graph_are_not_frozen(runs, monkeypatch):
    monkeypatch.setattr(freeze, 'LARGEST', 20_000)  # the network has 11,000 weights of 4 bytes
    (member,), notes = export._members([networks.load(runs[0])], True)
    assert notes == ['weights not frozen, as 0.0 GB do not fit into a graph']
    assert len(member.variables) == len(networks.load(runs[0]).body.weights) + 2


def test_files_tell_where_the_model_comes_from(runs, single, pair):
    assert json.loads((single / 'assets' / 'classes.json').read_text())[1] == 'bar 30°'
    told = json.loads((single / 'assets' / 'export.json').read_text())
    assert told['revision'] is None or len(told['revision'].removesuffix('-dirty')) == 40
    (member,) = told['members']
    assert member['best'] == {'kind': 'raw', **json.loads(
        (runs[0] / 'best.json').read_text())['raw']}
    assert member['data']['fingerprint'] == json.loads(
        (runs[0] / 'data.json').read_text())['fingerprint']
    assert (single / 'assets' / 'config.json').read_bytes() == (
        runs[0] / 'config.json').read_bytes()
    assert {p.name for p in (pair / 'assets').iterdir()} == {
        'classes.json', 'export.json', 'config_1.json', 'config_2.json'}


def test_warm_up_requests_are_ones_that_the_model_answers(single):
    signatures = exported.signatures(single)
    seen = set()
    for record in tf.data.TFRecordDataset(str(single / publish.WARM_UP)):
        request = prediction_log_pb2.PredictionLog.FromString(
            record.numpy()).predict_log.request
        assert request.model_spec.name == 'bsce_tf'
        inputs = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        assert all(len(x) == len(*inputs.values()) for x in answer.values())
        seen.add(request.model_spec.signature_name)
    assert seen == {'serving_default', 'predict_images', 'features'}


def test_a_transparent_webp_may_come_first(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    data = encoded(picture, 'WEBP', lossless=True)
    (tmp_path / 'model').mkdir()
    publish.write_warm_up(tmp_path / 'model', 'm', [data])
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(str(tmp_path / 'model' / publish.WARM_UP))]
    images = tf.make_ndarray(logs[-1].predict_log.request.inputs['images'])
    np.testing.assert_array_equal(images, decode.decode(tf.constant(data))[None])


@pytest.mark.parametrize('optimise', [True, False])
def test_a_run_in_mixed_precision_is_exported_in_float32(tmp_path, optimise):
    config = smoke(precision='mixed_bfloat16', batch_size=16)
    train(config, tmp_path / 'run')
    config.export.optimise = optimise
    with exported.unchecked():
        version = export.export(config, tmp_path / 'run')
    saved = saved_model_pb2.SavedModel.FromString((version / 'saved_model.pb').read_bytes())
    types = {node.attr['T'].type for function in saved.meta_graphs[0].graph_def.library.function
             for node in function.node_def if node.op in ('Conv2D', 'MatMul')}
    assert types == {types_pb2.DT_FLOAT}


def test_versions_count_up_and_the_servers_files_stay(runs, tmp_path, single):
    config = smoke()
    base = single.parents[1]
    assert listed_models(base) == [('bsce_tf', '/models/bsce_tf')]
    (base / 'batching.config').write_text('max_batch_size { value: 3 }\n')
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.png').write_bytes(pictures()[0])
    (tmp_path / 'images' / 'b.txt').write_bytes(b'text')
    config.export.update(optimise=False, images=str(tmp_path / 'images'), name='other', top_k=2,
                         folder=str(base))
    with exported.unchecked():
        assert export.export(config, runs[0]) == base / 'other' / '1'
    assert 'max_batch_size { value: 3 }' in (base / 'batching.config').read_text()
    assert listed_models(base) == [('bsce_tf', '/models/bsce_tf'), ('other', '/models/other')]
    (answer,), _ = ask_c_api(base / 'other' / '1', [pictures()[:1]])
    (own,), _ = ask_c_api(single, [pictures()[:1]])
    np.testing.assert_allclose(answer['scores'], own['scores'][:, :2], atol=1e-5)


def test_a_version_appears_whole_or_not_at_all(tmp_path):
    there = ['7']

    def whole(place):
        (place / 'saved_model.pb').write_text('x')
        # the server takes folders whose names are numbers
        assert sorted(filter(str.isdecimal, os.listdir(tmp_path / 'm'))) == there

    def broken(place):
        whole(place)
        raise RunError('no')

    (tmp_path / 'm' / '7').mkdir(parents=True)
    assert publish.write_version(tmp_path, 'm', whole)[0].name == '8'
    there = ['7', '8']
    with pytest.raises(RunError):
        publish.write_version(tmp_path, 'm', broken)
    assert sorted(os.listdir(tmp_path / 'm')) == ['7', '8']
    (tmp_path / 'file').write_text('x')
    with pytest.raises(InputError, match='file is a file; expected a folder'):
        publish.write_version(tmp_path / 'file', 'm', whole)


def test_an_export_that_answers_otherwise_is_withdrawn(runs, tmp_path, monkeypatch):
    right = fold.fold_batch_norms

    def wrong(model):
        body, number = right(model)
        kernel = next(w for w in body.weights if w.path.endswith('kernel'))
        kernel.assign(kernel * 1.01)
        return body, number

    monkeypatch.setattr(fold, 'fold_batch_norms', wrong)
    config = smoke()
    config.export.folder = str(tmp_path / 'export')
    with pytest.raises(RunError, match=r'features of the images: found .* expected equal within'):
        export.export(config, runs[0])
    assert not [path for path in tmp_path.rglob('*')
                if path.name == 'saved_model.pb' or path.name.startswith('.writing')]
    assert not (tmp_path / 'export' / 'models.config').exists()


def test_what_cannot_be_exported_is_named(runs, tmp_path):
    config = smoke()
    config.export.folder = str(tmp_path / 'export')
    for folder, message in ((str(tmp_path), 'no config.json'),
                            (' , ', 'expected folders with one comma')):
        with pytest.raises(InputError, match=message):
            export.export(config, folder)
    shutil.copytree(runs[1], tmp_path / 'renamed')
    classes = tmp_path / 'renamed' / 'classes.json'
    classes.write_text(classes.read_text().replace('bar 60', 'box 60'))
    with pytest.raises(InputError, match="class 2 is 'box 60°', and 'bar 60°'"):
        export.export(config, f'{runs[0]},{tmp_path / "renamed"}')
    for name in ('', '../up', '.hidden', 'a/b', 'a b'):
        config.export.name = name
        with pytest.raises(InputError, match='config.export.name: found'):
            export.export(config, runs[0])
    config.export.update(name='m', images=str(tmp_path / 'none'))
    with pytest.raises(InputError, match='config.export.images: .*none does not exist'):
        export.export(config, runs[0])
    config.export.images = str(classes)
    with pytest.raises(InputError, match='no image to check the export with .*not an image but'):
        export.export(config, runs[0])
    assert not (tmp_path / 'export').exists()
