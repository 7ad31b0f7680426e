"""Older names of fields work, and the log says the new one once."""

import pytest

from bsce_tf import fields, recipes
from bsce_tf.cli import command_line
from bsce_tf.fields import renamed, stored

OLD, NEW = 'audit.keep', 'audit.min_images_per_class'
CONFIG = '''
from bsce_tf import recipes

def get_config():
    config = recipes.defaults()
    config.audit.keep = 7
    return config
'''


def by_flag(folder):
    return command_line.parse(['main.py', f'--config.{OLD}=7', '--config.epochs=3']).config


def by_flag_and_a_word(folder):
    return command_line.parse(['main.py', f'--config.{OLD}', '7']).config


def by_a_run(folder):
    return recipes.config_dict.ConfigDict(stored.complete({'audit': {'keep': 7}}, 'config.json'))


def by_python(folder):
    config = recipes.defaults()
    recipes.change(config, {OLD: 7})
    return config


def by_file(folder):
    (folder / 'own.py').write_text(CONFIG)
    return recipes.load(str(folder / 'own.py'))


def by_file_and_flags(folder):
    (folder / 'own.py').write_text(CONFIG)
    values = command_line.parse(['main.py', f'--config={folder / "own.py"}', '--config.epochs=3'])
    return recipes.with_current_names(values.config)


@pytest.mark.parametrize('way', [by_flag, by_flag_and_a_word, by_a_run, by_python, by_file,
                                 by_file_and_flags])
def test_an_older_name_sets_the_field_and_says_the_new_one(way, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(renamed, '_logged', set())
    monkeypatch.setattr(renamed.logging, 'warning', lambda text, *args: told.append(text % args))
    config = way(tmp_path)
    assert config.audit.min_images_per_class == 7
    assert 'keep' not in config.audit
    assert told == [f'config.{OLD} is now called config.{NEW}; the old name still works.']


def test_older_names_are_of_fields_that_there_are():
    for old, new in fields.RENAMED.items():
        assert old not in fields.TABLE
        assert new in fields.TABLE
