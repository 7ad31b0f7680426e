"""Checks a config before anything runs: unknown fields, types, ranges and names."""

import ast

from bsce_tf import field_pairs, fields
from bsce_tf.errors import InputError
from bsce_tf.training import stages

_TRAIN = ('demo', 'train', 'audit', 'clean_train')


def check(config, mode='train'):
    """Raises an InputError that names the first invalid field of `config`.

    Logs a warning for every field of the mode that was set and has no effect: in modes that train,
    for those of training, too.

    Args:
      config: ConfigDict with the fields of configs/default.py.
      mode: the program's mode.
    """
    found = dict(_flat(config))
    for name, value in found.items():
        fields.check(name, value, 'config.')
    for name in fields.TABLE.keys() - found.keys():
        raise InputError(f'config.{name}: missing; expected {fields.TABLE[name].rule.expected}.')
    parts = stages.resolve(config)
    for number, stage in enumerate(parts):
        for name, value in _flat(stage):
            if name not in found or found[name] != value:
                fields.check(name, value, f'config.stages[{number}].')
    field_pairs.check(parts)
    trains = mode in _TRAIN
    field_pairs.warn(config, parts, (field_pairs.EFFECTS if trains else ())
                     + field_pairs.OF_MODES.get(mode, ()))
    if trains:
        field_pairs.warn_of_doubts(parts)


def check_override(name, text):
    """Raises InputError if `--config.<name>=<text>` names no field or its value is not allowed."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    fields.check(name, value, 'config.')


def _flat(tree, prefix=''):
    for key, value in tree.items():
        if hasattr(value, 'items'):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
