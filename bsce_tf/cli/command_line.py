"""Reads the command line."""

from absl import flags
from ml_collections import config_flags

from bsce_tf import fields, imports, recipes
from bsce_tf.cli.modes import DEFAULT, MODES
from bsce_tf.errors import InputError


def parse(arguments):
    """The values of the flags.

    Args:
      arguments: list of strings, as `sys.argv`.

    Returns:
      absl's FlagValues: `mode`, `config`, `workdir`, `help`, `helpfull` and absl's own.

    Raises:
      InputError: for every mistake in them.
    """
    values = flags.FlagValues()
    values.append_flag_values(flags.FLAGS)  # those of absl, such as --verbosity
    arguments = [_with_current_name(argument)
                 for argument in _with_paths(_with_mode(arguments))]
    try:
        config_flags.DEFINE_config_file(
            'config', str(recipes.find(DEFAULT)), 'Config.', values, sys_argv=arguments)
        flags.DEFINE_string('workdir', 'runs/demo', 'Folder for the files of the run.',
                            flag_values=values)
        flags.DEFINE_enum('mode', 'demo', list(MODES), 'What to do.', flag_values=values)
        flags.DEFINE_bool('help', False, 'The modes.', short_name='h',
                          flag_values=values)
        flags.DEFINE_bool('helpfull', False, 'The modes and all fields.',
                          flag_values=values)
        rest = values(arguments)[1:]
        if rest:
            raise ValueError(f"found '{rest[0]}'; expected only flags that begin with --.")
        values.config.keys()  # a file that failed to load says so only when it is read
    except Exception as error:  # a config file is Python: it may raise anything
        _check_config(arguments)
        raise InputError(f'flags: {error}') from error
    return values


def _with_mode(arguments):
    """Replaces a mode as the first argument, such as `train`, by `--mode=train`.

    `demo-page` is `demo_page`, and so for the others.
    """
    mode = arguments[1].replace('-', '_') if arguments[1:2] else ''
    return [arguments[0], f'--mode={mode}', *arguments[2:]] if mode in MODES else arguments


def _with_paths(arguments):
    """Replaces the name of a config by the path of its file; works in any current folder."""
    arguments = list(arguments)
    for i, argument in enumerate(arguments):
        flag, equals, name = argument.partition('=')
        if flag not in ('--config', '-config'):
            continue
        if equals:
            arguments[i] = f'{flag}={_path(name)}'
        elif i + 1 < len(arguments):
            arguments[i + 1] = _path(arguments[i + 1])
    return arguments


def _with_current_name(argument):
    """Replaces the old name of a renamed field."""
    flag, equals, value = argument.partition('=')
    dashes, config, name = flag.partition('config.')
    return f'{dashes}{config}{fields.current(name)}{equals}{value}' if config and dashes in (
        '-', '--') else argument


def _path(config):
    name, colon, words = config.partition(':')
    return f'{recipes.find(name)}{colon}{words}'


def _check_config(arguments):
    """Raises InputError if a config file or an override made the parsing of the flags fail."""
    for argument in arguments:
        if argument.startswith('--config.'):
            name, _, value = argument.removeprefix('--config.').partition('=')
            with imports.without_garbage_collection():
                from bsce_tf import config_check
            config_check.check_override(name, value)
    for before, argument in zip([''] + arguments, arguments, strict=False):
        if argument.startswith('--config='):
            recipes.load(argument.removeprefix('--config='))
        elif before == '--config':
            recipes.load(argument)
