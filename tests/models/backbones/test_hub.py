"""Backbones of KerasHub, by tiny presets with random weights."""

import sys

import keras
import numpy as np
import pytest
from PIL import Image

import bsce_tf
from bsce_tf import field_pairs, recipes
from bsce_tf.audit.audit import audit
from bsce_tf.data.sources import generated
from bsce_tf.errors import InputError
from bsce_tf.models import classifier, convert
from bsce_tf.models.backbones import hub
from bsce_tf.serving import fold
from bsce_tf.training import optimizers, stages
from tests.models.backbones import hub_presets
from tests.serving.exported import ask_c_api, encoded, unchecked

keras_hub = pytest.importorskip('keras_hub', reason="needs pip install 'bsce-tf[hub]'")
# {preset: tokens before those of the patches; None where there are no tokens}
BEFORE = {'vit': 1, 'dinov2': 3, 'dinov3': 5, 'siglip': 0, 'clip': 1, 'efficientnet': None,
          'resnet': None}
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype('float32')


@pytest.fixture(scope='module')
def preset(tmp_path_factory):
    """Function of a preset's name that gives its folder."""
    base, made = tmp_path_factory.mktemp('presets'), {}

    def folder(name):
        if name not in made:
            made[name] = hub_presets.write(base / name, name)
        return made[name]

    return folder


def name_of(folder):
    return f'hub:{folder}'


def features(model, images=IMAGES):
    return keras.Model(model.input, model.get_layer('features').output)(images).numpy()


def directly(folder, name, images=IMAGES):
    """Tokens or map of the preset by KerasHub alone; of SigLIP the input of its pooling."""
    network = keras_hub.models.Backbone.from_preset(str(folder))
    converter = keras_hub.layers.ImageConverter.from_preset(str(folder))
    network = getattr(network, 'vision_encoder', network)
    x = converter(images)
    if name == 'siglip':
        for layer in (network.embedding, *network.encoder_layers, network.post_layer_norm):
            x = layer(x)
        return x.numpy(), network.head(x).numpy()
    x = np.asarray(network(dict.fromkeys(network.input, x) if isinstance(network.input, dict)
                           else x))
    return x, x[:, 0]


@pytest.mark.parametrize('name', BEFORE)
def test_features_are_those_of_the_preset_with_its_own_preprocessor(name, preset):
    outputs, token = directly(preset(name), name)
    patches = outputs[:, BEFORE[name]:] if BEFORE[name] is not None else outputs
    expected = patches.reshape(2, -1, outputs.shape[-1]).astype(np.float64).mean(axis=1)
    found = features(classifier.build(name_of(preset(name)), 4, 'preset'))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if BEFORE[name] is not None:
        found = features(classifier.build(name_of(preset(name)), 4, 'preset', pooling='token'))
        np.testing.assert_allclose(found, token, rtol=1e-4, atol=1e-5)
        return
    with pytest.raises(InputError, match="found 'token'; 'hub:.* has no class token"):
        classifier.build(name_of(preset(name)), 4, pooling='token')


@pytest.mark.parametrize('name', ['vit', 'siglip', 'efficientnet'])
def test_weights_are_random_unless_asked_for(name, preset):
    expected = features(classifier.build(name_of(preset(name)), 4, 'preset'))
    assert np.abs(features(classifier.build(name_of(preset(name)), 4)) - expected).max() > 0.1


def test_positions_of_clip_count_without_the_weights_of_the_preset(preset):
    model = classifier.build(name_of(preset('clip')), 4, pooling='token')
    blocks = IMAGES.reshape(2, 4, 8, 4, 8, 3)
    moved = blocks[:, ::-1].reshape(IMAGES.shape)  # the same patches in other places
    assert np.abs(features(model) - features(model, moved)).max() > 1e-5


@pytest.mark.parametrize(('old', 'new'), [(4, 6), (6, 4), (5, 5)])
def test_positions_are_resized_as_by_pillow(old, new):
    table = np.random.default_rng(0).normal(size=(1, 2 + old**2, 3)).astype('float32')
    found = hub.resize_positions(table, old, new)
    np.testing.assert_array_equal(found[:, :2], table[:, :2])
    for channel in range(3):
        grid = Image.fromarray(table[0, 2:, channel].reshape(old, old))
        expected = np.asarray(grid.resize((new, new), Image.BICUBIC)).reshape(-1)
        np.testing.assert_allclose(found[0, 2:, channel], expected, atol=1e-5)


def test_images_of_another_size_get_resized_positions_and_a_word_about_it(preset, said):
    model = classifier.build(name_of(preset('vit')), 4, 'preset', image_size=48, pooling='token')
    assert '4 × 4 patches are resized to 6 × 6, for images of 48 pixels' in said.text
    native = keras_hub.models.Backbone.from_preset(str(preset('vit')))
    ours = {v.path: v for v in model.weights}
    for variable in native.weights:
        expected = variable.numpy()
        if variable.path.endswith('position_embedding/embeddings'):
            expected = hub.resize_positions(expected, 4, 6)
        np.testing.assert_array_equal(ours[variable.path], expected)


def test_what_dinov2_trains_of_its_positions_is_kept(preset, tmp_path):
    name = name_of(preset('dinov2'))
    for change in (-0.5, 0.5):  # KerasHub's own way loses the one, and blurs the other
        model = classifier.build(name, 4, 'preset')
        (table,) = [v for v in model.weights if v.name == 'interpolated_position_embeddings']
        table.assign_add(change * np.random.default_rng(0).random(table.shape))
        model.save_weights(tmp_path / 'x.weights.h5')
        other = classifier.build(name, 4)
        classifier.load_weights(other, tmp_path / 'x.weights.h5')
        np.testing.assert_array_equal(other(IMAGES), model(IMAGES))


def depths_of(name, preset, pooling='avg'):
    """{path of a variable: depth} by the rates with a decay of a half."""
    model = classifier.build(name_of(preset(name)), 4, pooling=pooling)
    found = optimizers.rate_factors(model, 0.5)
    return {path: int(-np.log2(factor)) for path, factor in found.items()}


@pytest.mark.parametrize(('name', 'block', 'first'), [
    ('vit', 'vit_encoder/transformer_block_{}/', 1), ('dinov2', 'encoder/layers_{}/', 0),
    ('dinov3', 'encoder/layers_{}/', 0), ('siglip', 'encoder_block_{}/', 0)])
def test_rates_fall_from_block_to_block(name, block, first, preset):
    found = depths_of(name, preset, 'token')
    blocks = [block.format(first + i) for i in range(2)]
    for i, beginning in enumerate(blocks):
        assert {d for path, d in found.items() if beginning in path} == {2 - i}
    rest = {path: d for path, d in found.items() if not any(b in path for b in blocks)}
    embedding = {path: d for path, d in rest.items() if 'embedding' in path}
    assert set(embedding.values()) == {3}
    head = {path: d for path, d in rest.items() if path.startswith('head/k')}
    assert set(head.values()) == {0}
    assert {d for path, d in rest.items() if path not in embedding and 'head/' not in path} == {1}


def test_rates_of_a_convolutional_preset_fall_by_resolution(preset):
    found = depths_of('efficientnet', preset)
    assert {d for path, d in found.items() if path.startswith('stem')} == {2}
    assert {d for path, d in found.items() if path.startswith('top')} == {1}


def test_layers_freeze_by_name(preset):
    model = classifier.build(name_of(preset('vit')), 4,
                             freeze=('vit_patching', 'transformer_block_1'))
    left = {v.path.split('/')[1] for v in model.trainable_weights if 'vit' in v.path}
    assert left == {'transformer_block_2', 'ln'}


@pytest.mark.parametrize(('name', 'folded'), [('resnet', 9), ('efficientnet', 2), ('vit', 0)])
def test_batch_norms_fold_where_they_lie_open(name, folded, preset):
    model = classifier.build(name_of(preset(name)), 4, 'preset')
    copy, number = fold.fold_batch_norms(model)
    assert number == folded
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)


def test_half_precision_is_that_of_the_run(preset):
    expected = features(classifier.build(name_of(preset('siglip')), 4, 'preset', pooling='token'))
    keras.config.set_dtype_policy('mixed_float16')
    found = features(classifier.build(name_of(preset('siglip')), 4, 'preset', pooling='token'))
    assert found.dtype.name == 'float16'
    np.testing.assert_allclose(found.astype('float32'), expected, atol=0.02)


FIELDS = {'model.weights': 'preset', 'model.pooling': 'token', 'image.size': 24,
          'optimizer.layer_decay': 0.8}


@pytest.fixture(scope='module')
def run(preset, tmp_path_factory):
    folder = tmp_path_factory.mktemp('hub') / 'run'
    return bsce_tf.train('smoke', folder, **FIELDS,
                         **{'model.backbone': name_of(preset('dinov2')), 'strategy': 'mirrored',
                            'replicas': 2, 'batch_size': 12})


def test_a_run_evaluates_predicts_and_is_served_without_kerashub(run, preset):
    assert run.config.model.backbone == name_of(preset('dinov2'))
    assert bsce_tf.load(run.folder).evaluate() == run.errors
    image = generated.load().test.images[0]
    expected = run.predict([image])
    with unchecked():
        version = run.export()
    answers, _ = ask_c_api(version, [[encoded(image)]])
    assert answers[0]['class_names'][0].tolist() == expected.classes[0].tolist()
    np.testing.assert_allclose(answers[0]['scores'][0], expected.scores[0], atol=1e-5)


def test_an_audit_trains_with_a_preset(preset, tmp_path):
    config = recipes.load('smoke')
    recipes.change(config, {**FIELDS, 'model.backbone': name_of(preset('vit')), 'audit.folds': 2,
                            'audit.duplicate_similarity': 0.0, 'steps': 1})
    audit(config, tmp_path / 'audit')
    assert (tmp_path / 'audit' / 'cleaned.csv').exists()


def test_random_weights_are_told(preset, said):
    config = recipes.load('smoke')
    config.model.backbone = name_of(preset('resnet'))
    field_pairs.warn_of_doubts(stages.resolve(config))
    assert "begins with random weights; expected 'preset'" in said.text


def build(name, *arguments, **options):
    with pytest.raises(InputError) as error:
        classifier.build(name, 4, *arguments, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_preset_that_there_is_not(tmp_path):
    assert "(did you mean vit_base_patch16_224_imagenet?)" in build('hub:vit_base_patch16_224_imag')
    assert 'a folder with its config.json' in build(name_of(tmp_path))
    (tmp_path / 'config.json').write_text('{')
    assert 'a folder with its config.json' in build(name_of(tmp_path))


def test_no_network(monkeypatch):
    def fail(preset):
        raise ConnectionError('no route to host\nat all')

    monkeypatch.setattr('bsce_tf.internals.preset_loader', fail)
    assert build('hub:vit_base_patch16_224_imagenet') == (
        "model.backbone: 'hub:vit_base_patch16_224_imagenet' cannot be loaded (no route to host); "
        'expected internet access the first time, or a folder that save_to_preset wrote.')


def test_a_preset_of_text(tmp_path):
    keras_hub.models.BertBackbone(vocabulary_size=16, num_layers=1, num_heads=1, hidden_dim=8,
                                  intermediate_dim=8).save_to_preset(str(tmp_path))
    message = build(name_of(tmp_path))
    assert 'which is a BertBackbone; expected a network of images: CLIPBackbone, ' in message


def test_a_preset_without_its_image_converter(preset, tmp_path):
    for path in preset('vit').iterdir():
        if path.name != 'image_converter.json':
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert "has no image_converter.json" in build(name_of(tmp_path))
    assert 'ViTImageConverter(…).save_to_preset' in build(name_of(tmp_path))


@pytest.mark.parametrize('name', ['vit', 'dinov2', 'siglip'])
def test_sizes_that_are_no_multiple_of_the_patches(name, preset):
    message = build(name_of(preset(name)), image_size=44)
    assert message.startswith('image.size: found 44; ')
    assert 'patches of 8 pixels: expected a multiple of that, as 40 or 48.' in message


def test_words_that_belong_to_other_backbones(preset, tmp_path):
    assert "found 'imagenet'; expected 'preset'" in build(name_of(preset('vit')), 'imagenet')
    assert "found 'preset'; expected 'imagenet'" in build('resnet50', 'preset', image_size=32)
    assert 'small_resnet has no published weights' in build('small_resnet', 'preset')
    assert "found 'token'; expected avg, max or gem" in build('small_resnet', pooling='token')
    config = recipes.load('smoke')
    config.model.backbone, config.model.weights = name_of(preset('vit')), 'x.pth'
    with pytest.raises(InputError, match='expected one of the backbones that --mode=models lists'):
        convert.run(config, tmp_path)


def test_kerashub_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'keras_hub', None)
    assert "pip install 'bsce-tf[hub]'" in build('hub:vit_base_patch16_224_imagenet')


