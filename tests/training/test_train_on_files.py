"""Training on files as users have them: a folder of JPEGs, some of them broken."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from bsce_tf.errors import InputError
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.training.train import train
from tests.smoke import smoke


@pytest.fixture
def shop(tmp_path):
    """Three classes of 12, 8 and 6 JPEGs, told apart by colour."""
    rng = np.random.default_rng(0)
    for k, (name, n) in enumerate((('bags', 12), ('hats/caps', 8), ('shoes', 6))):
        folder = tmp_path / 'shop' / name
        folder.mkdir(parents=True)
        for i in range(n):
            picture = rng.integers(0, 60, (40, 50, 3), np.uint8)
            picture[..., k] += 180
            Image.fromarray(picture).save(folder / f'{i}.jpg', quality=90)
    return tmp_path / 'shop'


def config_of(shop, **fields):
    # One epoch of several passes: each validation makes its pipeline anew, which takes a second.
    return smoke(**{
        'data.source': 'folder', 'data.root': str(shop), 'data.cache': 'off', 'batch_size': 12,
        'data.validation_fraction': 0.2, 'steps': 12, 'model.backbone': 'small_resnet', **fields})


def test_a_folder_of_jpegs(shop, tmp_path):
    config = config_of(shop)
    train(config, tmp_path / 'run')
    result = evaluate(config, tmp_path / 'run')
    assert result['split'] == 'validation'
    assert result['mean_top1_error'] < 0.2
    assert '"hats/caps"' in (tmp_path / 'run' / 'classes.json').read_text()


def test_a_bad_file_stops_the_run_by_its_name_or_is_skipped(shop, tmp_path):
    broken = shop / 'shoes' / '0.jpg'
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(InputError, match='shoes/0.jpg') as error:
        train(config_of(shop), tmp_path / 'stopped')
    assert '\n' not in str(error.value)
    config = config_of(shop, **{'data.on_error': 'skip', 'data.max_bad_fraction': 0.5})
    train(config, tmp_path / 'skipped')
    evaluate(config, tmp_path / 'skipped')
    with open(tmp_path / 'skipped' / 'bad_images.csv') as file:
        assert [row['path'] for row in csv.DictReader(file)] == ['shoes/0.jpg']


def test_mixed_images_and_colours_train_with_class_weights(shop, tmp_path):
    config = config_of(shop, **{'augment.mixup': 0.4, 'augment.cutmix': 1.0, 'augment.erasing': 0.5,
                                'augment.brightness': 0.2, 'image.crop': 'random_resized'})
    train(config, tmp_path / 'run')
    assert evaluate(config, tmp_path / 'run')['mean_top1_error'] < 0.5


def test_a_run_does_not_go_on_with_images_that_were_replaced(shop, tmp_path):
    config = config_of(shop, steps=1)
    train(config, tmp_path / 'run')
    other = shop / 'bags' / '0.jpg'
    Image.new('RGB', (40, 50)).save(other)
    with pytest.raises(InputError, match='data.json: begun with other images: .*shop has '
                       'the same names and labels'):
        train(config, tmp_path / 'run')


def test_a_class_that_only_validation_has_counts_as_errors(shop, tmp_path, caplog):
    """With class weights and with a sampler that balances classes; also with names from a file."""
    for k, name in enumerate(('bags', 'shoes', 'ties')):
        folder = tmp_path / 'held' / name
        folder.mkdir(parents=True)
        for i in range(2):
            picture = np.full((40, 50, 3), 30, np.uint8)
            picture[..., (0, 2, 1)[k]] += 180
            Image.fromarray(picture).save(folder / f'{i}.png')
    config = config_of(tmp_path, **{
        'data.train': 'shop', 'data.validation': 'held', 'loss.name': 'bsce',
        'sampler.gamma': 0.5})
    with caplog.at_level('WARNING'):
        train(config, tmp_path / 'run')
    assert "no training image of 1 classes ('ties')" in caplog.text
    assert json.loads((tmp_path / 'run' / 'classes.json').read_text()) == [
        'bags', 'hats/caps', 'shoes', 'ties']
    result = evaluate(config, tmp_path / 'run')
    assert result['mean_top1_error'] == pytest.approx(1 / 3)  # of bags, shoes and ties
    assert result['classes_without_images'] == 1
    config.data.classes = str(tmp_path / 'run' / 'classes.json')
    assert evaluate(config, tmp_path / 'run')['mean_top1_error'] == pytest.approx(1 / 3)
