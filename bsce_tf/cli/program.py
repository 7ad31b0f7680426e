"""Runs a mode, as the command line says."""

import contextlib
import importlib
import logging
import os
import sys

from bsce_tf import decoder_messages, division, fields, imports, recipes
from bsce_tf.cli import command_line, usage
from bsce_tf.cli.failures import say, unexpected
from bsce_tf.cli.modes import DEFAULT, MODES
from bsce_tf.errors import InputError, RunError
from bsce_tf.fields.rules import MOST_PARTS

_STOPPED = (75, 130)  # exit status after SIGTERM, after Ctrl-C
_WITHOUT = 'models', 'convert'  # modes that use no workdir


def run():
    """Entry point of the program: runs the command line and exits with its status."""
    status = process(sys.argv)
    if status in _STOPPED:  # all is saved; shutting TensorFlow down would take seconds
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def process(arguments):
    """As `main`, in a process that does nothing else."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # else off on CPUs without AVX-512
    with decoder_messages.left_out():
        return main(arguments)


def main(arguments):
    """Runs a mode.

    Args:
      arguments: list of strings, as `sys.argv`.

    Returns:
      Exit status: 0, or that of the error, see `errors`.
    """
    workdir = ''
    try:
        if arguments[1:2] == ['help']:
            print(usage.of_modes(arguments))
            return 0
        values = command_line.parse(arguments)
        if values.help or values.helpfull:
            print(usage.usage(arguments[0], values.helpfull))
            return 0
        workdir = values.workdir
        print(f'{values.mode}: loading TensorFlow', file=sys.stderr, flush=True)
        with imports.without_garbage_collection():
            from bsce_tf import config_check  # loads TensorFlow: only after the flags are checked
            from bsce_tf.evaluation import run_config
        logging.getLogger('tensorflow').addFilter(_is_news)
        _check_own_data(values.mode, values['config'], run_config.MODES)
        config = recipes.with_current_names(values.config)
        with contextlib.ExitStack() as stack:
            workdir = _on_this_machine(values.mode, config, workdir, stack)
            config = run_config.resolve(values.mode, config, workdir, values['config'])
            config_check.check(config, values.mode)
            do(values.mode, config, workdir, arguments)
    except (InputError, RunError) as error:
        return say(error, error.status)
    except OSError as error:
        return say(error, 1)
    except KeyboardInterrupt:
        return say('interrupted', 130)
    except Exception as error:
        return say(unexpected(error, workdir), 1)
    return 0


def do(mode, config, workdir, arguments):
    """Does what a mode does: here, or in parts that an engine spreads.

    Args:
      mode: its name.
      config: ConfigDict, checked.
      workdir: folder of this machine, or several with commas between.
      arguments: of the command line, for an engine.

    Raises:
      InputError, RunError, OSError: what `main` tells in one line.
    """
    if MODES[mode].uses('engine.name') and config.engine.name != 'none':
        from bsce_tf.cli import engine
        if config.part:
            raise InputError(f"config.part: found '{config.part}' with engine.name = "
                             f"{config.engine.name}, which does all parts; expected ''.")
        most = config.audit.folds if mode == 'audit' and not config.audit.model else MOST_PARTS
        engine.spread(process, arguments, config.engine, most)
        return
    try:
        for step in MODES[mode].steps:
            module, function = step.split(':')
            getattr(importlib.import_module(module), function)(config, workdir)
    except (InputError, RunError, OSError):
        raise
    except Exception as error:  # while the folder is still this process's
        raise RunError(unexpected(error, workdir)) from error


def _is_news(record):
    """False for TensorFlow's warning on retracing: each stage and fold traces its own functions."""
    return 'triggered tf.function retracing' not in record.getMessage()


def _on_this_machine(mode, config, workdir, stack):
    """The folders in which to work on --workdir, of which some may be in buckets."""
    if ':/' not in workdir or mode in _WITHOUT:
        return workdir
    from bsce_tf.remote import workdirs
    process = _process(mode, config)
    return ','.join(str(stack.enter_context(workdirs.here(place, process)))
                    for place in workdir.split(','))


def _process(mode, config):
    """Name of this process if it is one of several that use the workdir, such as part-3-of-10."""
    from bsce_tf.training import strategy

    if MODES[mode].uses('part'):
        fields.check('part', config.part, 'config.')
        if config.engine.name != 'none':
            return 'engine'
        part = division.of(config.part)
        return '' if part.whole else part.name
    # All other modes do not know of several workers, and may not run twice.
    return strategy.worker_name(config.strategy) if mode in ('train', 'evaluate') else ''


def _check_own_data(mode, flag, used):
    """Raises InputError for a user's own data without a config.

    The default config spoils its data on purpose: it makes a long tail and wrong labels.

    Args:
      mode: its name.
      flag: `--config` of ml_collections.
      used: names of the modes that take the config of a trained run instead.
    """
    source = flag.override_values.get('data.source', DEFAULT)
    if not flag.present and source != DEFAULT and MODES[mode].uses('data.source') and (
            mode not in used):
        raise InputError(f'--config: found none with data.source = {source}; expected one, such as '
                         f'--config=default. Without it {DEFAULT} is used, which leaves '
                         'out images and makes labels wrong on purpose.')
