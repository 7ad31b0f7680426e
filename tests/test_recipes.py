import pathlib

import pytest

from bsce_tf import recipes
from bsce_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize('name', [
    'smoke', 'smoke.py', 'configs/smoke.py', str(ROOT / 'configs' / 'smoke.py')])
def test_a_config_is_found_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert recipes.load(name).data.source == 'generated'


def test_a_file_of_the_users_comes_first_and_words_reach_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path('smoke.py').write_text(
        'from bsce_tf import recipes\n'
        'def get_config(words):\n'
        '    config = recipes.defaults()\n'
        '    config.model.backbone = words\n'
        '    return config\n')
    assert recipes.load('smoke.py:a,b').model.backbone == 'a,b'
    assert recipes.load('smoke').model.backbone == 'small_resnet'  # a name, not a file


@pytest.mark.parametrize(('name', 'message'), [
    ('nothing', 'expected a file, or one of aliproducts, default, fashion_mnist, smoke'),
    ('elsewhere/smoke.py', "found 'elsewhere/smoke.py'"),
    ('fashion_mnist:nothing', "found 'nothing' after the colon")])
def test_what_cannot_be_had_is_told_in_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        recipes.load(name)
    assert message in str(error.value)


def test_a_loaded_config_is_the_callers_own():
    config = recipes.defaults()
    recipes.change(recipes.load(config), {'epochs': 2})
    assert config.epochs == 30
    with pytest.raises(InputError, match='config.epochs: found 0; expected a whole number ≥ 1'):
        recipes.change(config, {'epochs': 0})
    with pytest.raises(InputError, match=r'loss.alhpa: unknown field .* loss.alpha'):
        recipes.change(config, {'loss.alhpa': 1.0})
