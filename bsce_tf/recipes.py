"""Finds and loads configs: those that come with the program, by name, and users' own, by path."""

import importlib.util
import pathlib

from ml_collections import config_dict

from bsce_tf import fields
from bsce_tf.errors import InputError, alike

_HERE = pathlib.Path(__file__).parent
# In an installed package, and in a checkout.
FOLDERS = (_HERE / 'configs', _HERE.parent / 'configs')


def defaults():
    """ConfigDict of all fields with their defaults: the paper's recipe, without a data set."""
    config = config_dict.ConfigDict()
    for name, field in fields.TABLE.items():
        block, _, _ = name.rpartition('.')
        if block and block not in config:
            config[block] = config_dict.ConfigDict()
        value = field.default
        if field.rule.mixed:  # may have another type than the default
            value = config_dict.FieldReference(value, field_type=object)
        (config[block] if block else config)[name.removeprefix(f'{block}.')] = value
    return config


def names():
    """Names of the configs that come with the program, sorted."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob('*.py')
                   if path.stem != '__init__'})


def find(name):
    """Path of a config file.

    Args:
      name: path of a file, relative to the working folder or absolute; or the name of a config that
        comes with the program: 'fashion_mnist', 'fashion_mnist.py' or 'configs/fashion_mnist.py'.

    Raises:
      InputError: if there is no such file or config.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    if path.parent in (pathlib.Path(), pathlib.Path('configs')):
        for folder in FOLDERS:
            if (found := folder / f'{path.name.removesuffix(".py")}.py').is_file():
                return found
    raise InputError(f"config: found '{name}'{alike(path.stem, names())}; expected a file, or one "
                     f"of {', '.join(names())}.")


def load(config):
    """A ConfigDict that the caller may change.

    Args:
      config: a ConfigDict, which is copied; or the name or path of a config file. What follows a
        colon is passed to its `get_config`: 'aliproducts:pnasnet5large,bsce'.

    Raises:
      InputError: if there is no such file or it fails.
    """
    if isinstance(config, config_dict.ConfigDict):
        return config.copy_and_resolve_references()
    name, _, words = str(config).partition(':')
    path = find(name)
    spec = importlib.util.spec_from_file_location(f'bsce_tf_config_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return with_current_names(module.get_config(*[words] if words else []))
    except Exception as error:  # a config file is Python: it may raise anything
        raise InputError(f'{path}: {error}') from error


def with_current_names(config):
    """The same ConfigDict, with fields that have an old name renamed to their current name."""
    for old in fields.RENAMED:
        block, _, last = old.rpartition('.')
        if last in config.get(block, {}):
            with config.unlocked(), config.ignore_type():
                config.update_from_flattened_dict({fields.current(old): config[block][last]})
                del config[block][last]
    return config


def unknown_word(word, known):
    """The error that a config file raises for an unknown word after the colon.

    Args:
      word: string.
      known: the words that the config knows; () if it takes none.
    """
    expected = f'one of {", ".join(known)}' if known else 'nothing there'
    return InputError(f"found '{word}' after the colon{alike(word, known)}; expected {expected}.")


def change(config, changes):
    """Sets fields of a ConfigDict.

    Args:
      config: ConfigDict.
      changes: {dotted name: value}.

    Raises:
      InputError: for an unknown field or a value that it does not accept.
    """
    changes = {fields.current(name): value for name, value in changes.items()}
    for name, value in changes.items():
        fields.check(name, value, 'config.')
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
