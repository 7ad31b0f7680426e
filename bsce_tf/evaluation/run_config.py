"""The config of a mode that uses trained runs: partly the run's, partly the command line's."""

import os
import pathlib

from bsce_tf import fields
from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.training import workdir

MODES = ('index', 'evaluate', 'predict', 'export', 'demo_page')

# May differ from the run's own config: data, what to do with the model, and the machine.
FREE = ('data', 'tta', 'adjust', 'batch_size', 'index', 'neighbours', 'evaluate', 'predict',
        'export', 'report', 'demo_page', 'strategy', 'replicas', 'part', 'engine')


def folders(text):
    """The folders that `--workdir=a,b` names.

    Args:
      text: string, or a `pathlib.Path` of one folder.

    Returns:
      Tuple of pathlib.Path, at least one.

    Raises:
      InputError: if a name between the commas is empty or a folder comes twice.
    """
    if isinstance(text, os.PathLike) or os.path.exists(os.path.join(text, workdir.CONFIG)):
        return (pathlib.Path(text),)  # one run, even with a comma in its name
    found = tuple(part.strip() for part in text.split(','))
    for i, name in enumerate(found):
        if not name:
            raise InputError(f"--workdir: found '{text}'; expected folders with one comma between.")
        if os.path.realpath(name) in [os.path.realpath(other) for other in found[:i]]:
            raise InputError(f"--workdir: '{name}' comes twice in '{text}'; expected each once.")
    return tuple(pathlib.Path(name) for name in found)


def resolve(mode, config, text, flag):
    """The config that a mode works with.

    Args:
      mode: name of the mode; for those not in `MODES`, `config` is returned unchanged.
      config: ConfigDict of the command line, with its overrides.
      text: value of `--workdir`.
      flag: the `--config` flag of ml_collections: `override_values`, {dotted name: value} of all
        `--config.NAME=VALUE`, and `present`, whether `--config` itself was given.

    Returns:
      `config` itself if `--config` was given or a SavedModel predicts. Otherwise the first run's
      config with the overrides. Unless overridden, `tta.scales` is then (), so that every run uses
      its own, and `part` and `engine` are as by default.

    Raises:
      InputError: if a folder holds no trained run, or an override of a field that is not in `FREE`
        differs from a run's config.
    """
    if mode not in MODES or (mode in ('predict', 'demo_page') and config.predict.model):
        return config
    overrides = flag.override_values
    configs = [_config(folder) for folder in folders(text)]
    for folder, own in zip(folders(text), configs, strict=True):
        _check(folder, own, overrides)
    if flag.present:
        return config
    own = configs[0]
    with own.unlocked(), own.ignore_type():
        own.update_from_flattened_dict(
            {name: field.default for name, field in fields.TABLE.items()
             if name == 'tta.scales' or name.partition('.')[0] in ('part', 'engine')})
        own.update_from_flattened_dict(
            {name: value for name, value in overrides.items() if _free(name)})
    return own


def _config(folder):
    workdir.read(folder)  # says what is wrong with the folder
    return workdir.config_of(folder)


def _check(folder, own, overrides):
    for name, value in overrides.items():
        if _free(name):
            continue
        there = own
        for part in name.split('.'):
            there = there.get(part) if hasattr(there, 'get') else None
        if stored.tuples(value) != there:
            raise InputError(f'--config.{name}: found {value!r}; expected {there!r}, as the run in '
                             f'{folder} was trained. Here only {", ".join(FREE)} may differ.')


def _free(name):
    return name.split('.')[0] in FREE
