"""The texts of `--help`, `--helpfull`, `bsce help` and `bsce help MODE`."""

import pathlib
import textwrap

from bsce_tf import fields, recipes
from bsce_tf.cli.modes import DEFAULT, GROUPS, MODES
from bsce_tf.errors import InputError, alike
from bsce_tf.fields import rules


def of_modes(arguments):
    """The text of `bsce help` and `bsce help MODE`."""
    if len(arguments) == 2:
        return usage(arguments[0])
    name = arguments[2]
    if name not in MODES:
        raise InputError(f"help: found '{name}'{alike(name, MODES)}; expected one of "
                         f'{", ".join(MODES)}.')
    used = [field for field in fields.TABLE if MODES[name].uses(field)]
    return '\n'.join([f'{name}: {MODES[name].help}', *_fields_of(used)])


def usage(program='bsce', whole=False):
    """The text of `--help`; with `whole` that of `--helpfull`, which lists all fields."""
    name = 'bsce' if pathlib.Path(program).name == 'bsce' else 'python main.py'
    lines = [f'{name} [MODE] [--config=NAME] [--workdir=DIR] [--config.FIELD=VALUE …]', '',
             f'--config   a config that comes with the program ({", ".join(recipes.names())}),',
             f'           or a file; some accept options after a colon; default: {DEFAULT}',
             '--workdir  folder for the files of the run, here or in a bucket; default: runs/demo',
             'MODE       what to do; --mode=MODE is the same:']
    for group, modes in GROUPS.items():
        lines += ['', f'  {group}', *(f'    {name:<13}{mode.help}' for name, mode in modes.items())]
    if not whole:
        return '\n'.join([*lines, '', f'{name} help MODE lists the fields that a mode uses, '
                          '--helpfull all of them.'])
    return '\n'.join([*lines, *_fields_of(fields.TABLE)])


def _fields_of(wanted):
    """Help lines on fields of these names."""
    block, lines = '', ['', 'Fields, as --config.FIELD=VALUE, with their defaults:']
    for name in wanted:
        field = fields.TABLE[name]
        if name.rpartition('.')[0] != block:
            block = name.rpartition('.')[0]
            lines.append('')
        expected = field.rule.text  # a callable one would load TensorFlow
        known = field.rule is not rules.TEXT and not callable(expected)
        words = textwrap.wrap(field.help + (f' Expected: {expected}.' if known else ''), 92)
        lines += [f'  {name}={field.default!r}', *(f'      {line}' for line in words)]
    return lines if wanted else []
