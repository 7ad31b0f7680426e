"""The command line: modes, flags, help, and one line for every error."""

import contextlib
import importlib
import logging
import os
import pathlib
import sys
import tempfile
import textwrap
import traceback
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from bsce_tf import decoder_messages, fields, files, imports, recipes
from bsce_tf.errors import InputError, RunError, alike
from bsce_tf.fields import rules

LOG = 'error.log'  # the traceback of the last unexpected error
_LONGEST = 300  # characters of an unexpected error's message
_DEFAULT = 'fashion_mnist'
_STOPPED = (75, 130)  # exit status after SIGTERM, after Ctrl-C


class Mode(NamedTuple):
    """One value of `--mode`.

    Attributes:
      help: one line.
      steps: the functions that it runs, as 'module:function', each called with (config, workdir).
      fields: names of the config's fields that it uses, and groups of them, as 'data.'.
      without: names of fields of these groups that it does not use.
    """

    help: str
    steps: tuple
    fields: tuple = ()
    without: tuple = ()

    def uses(self, name):
        """Whether the mode uses a field."""
        group = name.rpartition('.')[0] + '.'
        return name not in self.without and (name in self.fields or group in self.fields)


# Training uses every field that no other mode has to itself.
_TRAINING = tuple(dict.fromkeys(
    name.partition('.')[0] + ('.' if '.' in name else '') for name in fields.TABLE
    if name.partition('.')[0] not in ('part', 'audit', 'review', 'index', 'neighbours', 'evaluate',
                                       'predict', 'export', 'report', 'pack', 'demo_page')))
_OF_DATA_MODES = ('data.shard_images', 'data.warned')  # which `data.` has, but no other mode uses
# To list images: data.source and `data.sources.FIELDS`, which would load TensorFlow.
_LISTING = tuple(f'data.{name}' for name in (
    'source', 'root', 'train', 'validation', 'test', 'dataset', 'image_column', 'label_column',
    'group_column', 'group_pattern', 'classes', 'clean', 'cache', 'readers'))
_USING = ('batch_size', 'strategy', 'replicas', 'tta.', 'adjust.')  # for a trained run
_BY = ('index.folder', 'index.probes', 'neighbours.')  # for answers by an index


GROUPS = {
    'Begin': {
        'demo': Mode('train the config with ce and with bsce, and compare them (the default)',
                     ('bsce_tf.demo:run',), _TRAINING, (*_OF_DATA_MODES, 'loss.name')),
        'models': Mode('list the backbones: size, cost, smallest image, published accuracy',
                       ('bsce_tf.models.overview:run',))},
    'Data': {
        'inspect': Mode('count images, classes, duplicates and overlaps of sets before training',
                        ('bsce_tf.catalogue.inspect:run',), (*_LISTING, 'part')),
        'verify': Mode('decode every image and list those that cannot be used',
                       ('bsce_tf.catalogue.verify:run',),
                       (*_LISTING, 'data.max_pixels', 'data.warned', 'part')),
        'pack': Mode('write the images into a few large files that load fast',
                     ('bsce_tf.catalogue.pack:run',),
                     (*_LISTING, 'data.max_pixels', 'data.on_error', 'data.max_bad_fraction',
                      'data.shard_images', 'pack.', 'part'))},
    'Train': {
        'train': Mode('train a run in --workdir, or resume it, and evaluate',
                      ('bsce_tf.training.train:train', 'bsce_tf.evaluation.evaluate:evaluate'),
                      _TRAINING, _OF_DATA_MODES),
        'audit': Mode('find wrong labels and near-duplicates among the training images',
                      ('bsce_tf.audit.audit:audit',), (*_TRAINING, 'audit.', 'part'),
                      (*_OF_DATA_MODES, 'adjust.tau', 'audit.rounds')),
        'review': Mode('look at the labels that an audit lists, in a browser, and correct them',
                       ('bsce_tf.review.review:review',), ('review.',)),
        'clean_train': Mode('audit, then train on the images that it keeps; audit.rounds times',
                            ('bsce_tf.audit.rounds:clean_train',), (*_TRAINING, 'audit.'),
                            _OF_DATA_MODES),
        'convert': Mode('convert a checkpoint of timm into a file for model.weights',
                        ('bsce_tf.models.convert:run',), ('model.backbone', 'model.weights'))},
    'Use a trained run (--workdir=A, or A,B,… for several)': {
        'index': Mode('add images to an index, or remove some: new products without training',
                      ('bsce_tf.evaluation.neighbours.build:build',),
                      ('batch_size', 'strategy', 'replicas', 'tta.', 'data.', 'index.'),
                      (*_OF_DATA_MODES, 'data.unseen_classes', 'index.probes')),
        'evaluate': Mode('errors on the test set, by scale and by class group',
                         ('bsce_tf.evaluation.neighbours.evaluate:evaluate',),
                         (*_USING, 'data.', 'evaluate.', 'predict.by', *_BY),
                         (*_OF_DATA_MODES, 'neighbours.reject')),
        'predict': Mode('classify images; writes a CSV file',
                        ('bsce_tf.evaluation.predict:predict',),
                        (*_USING, 'data.', 'predict.', 'part', *_BY), _OF_DATA_MODES),
        'export': Mode('files for TensorFlow Serving, ONNX, LiteRT',
                       ('bsce_tf.serving.export:export',),
                       ('batch_size', 'data.', 'tta.', 'adjust.', 'export.', 'index.folder',
                        'neighbours.'), _OF_DATA_MODES),
        'demo_page': Mode('a page on which one drops a picture and sees what the model says',
                          ('bsce_tf.demo_page.demo_page:demo_page',),
                          ('batch_size', 'data.', 'tta.', 'adjust.', 'predict.model',
                           'predict.top_k', 'demo_page.'), _OF_DATA_MODES),
        'report': Mode('one HTML page on the runs: curves, errors, mistakes',
                       ('bsce_tf.report.report:report',),
                       ('report.', 'strategy', 'replicas'))},
}
_WITHOUT = 'models', 'convert'  # modes that use no workdir
MODES = {name: mode for group in GROUPS.values() for name, mode in group.items()}


def run():
    """Entry point of the program: runs the command line and exits with its status."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # else off on CPUs without AVX-512
    with decoder_messages.left_out():
        status = main(sys.argv)
    if status in _STOPPED:  # all is saved; shutting TensorFlow down would take seconds
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


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
            print(_help(arguments))
            return 0
        values = _parse(_with_mode(arguments))
        if values.help or values.helpfull:
            print(usage(arguments[0], values.helpfull))
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
            _run_steps(values.mode, config, workdir)
    except (InputError, RunError) as error:
        return _say(error, error.status)
    except OSError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say('interrupted', 130)
    except Exception as error:
        return _say(_unexpected(error, workdir), 1)
    return 0


def _run_steps(mode, config, workdir):
    try:
        for step in MODES[mode].steps:
            module, function = step.split(':')
            getattr(importlib.import_module(module), function)(config, workdir)
    except (InputError, RunError, OSError):
        raise
    except Exception as error:  # while the folder is still this process's
        raise RunError(_unexpected(error, workdir)) from error


def _is_news(record):
    """False for TensorFlow's warning on retracing: each stage and fold traces its own functions."""
    return 'triggered tf.function retracing' not in record.getMessage()


def _with_mode(arguments):
    """Replaces a mode as the first argument, such as `train`, by `--mode=train`.

    `demo-page` is `demo_page`, and so for the others.
    """
    mode = arguments[1].replace('-', '_') if arguments[1:2] else ''
    return [arguments[0], f'--mode={mode}', *arguments[2:]] if mode in MODES else arguments


def _help(arguments):
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
             f'           or a file; some accept options after a colon; default: {_DEFAULT}',
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


def _parse(arguments):
    """Parses the flags; raises InputError for every mistake in them."""
    values = flags.FlagValues()
    values.append_flag_values(flags.FLAGS)  # those of absl, such as --verbosity
    arguments = [_with_current_name(argument) for argument in _with_paths(arguments)]
    try:
        config_flags.DEFINE_config_file(
            'config', str(recipes.find(_DEFAULT)), 'Config.', values, sys_argv=arguments)
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


def _on_this_machine(mode, config, workdir, stack):
    """The folders in which to work on --workdir, of which some may be in buckets."""
    if '://' not in workdir or mode in _WITHOUT:  # as a path it would be a new folder called s3:
        return workdir
    from bsce_tf.remote import mirror
    if mode == 'clean_train':  # each round's config names the lists of others
        raise InputError(f"--workdir: found '{workdir}' for clean_train; expected a folder of this "
                         'machine.')
    if config.part or config.strategy == 'multiworker' or os.environ.get('TF_CONFIG', '').strip():
        raise InputError(f"--workdir: found '{workdir}' for one of several processes; expected a "
                         'folder that all of them see.')
    return ','.join(str(stack.enter_context(mirror.held(place))) if '://' in place else place
                    for place in workdir.split(','))


def _check_own_data(mode, flag, used):
    """Raises InputError for a user's own data without a config.

    The default config spoils its data on purpose: it makes a long tail and wrong labels.

    Args:
      mode: its name.
      flag: `--config` of ml_collections.
      used: names of the modes that take the config of a trained run instead.
    """
    source = flag.override_values.get('data.source', _DEFAULT)
    if not flag.present and source != _DEFAULT and MODES[mode].uses('data.source') and (
            mode not in used):
        raise InputError(f'--config: found none with data.source = {source}; expected one, such as '
                         f'--config=default. Without it {_DEFAULT} is used, which leaves out '
                         'images and makes labels wrong on purpose.')


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


def _unexpected(error, workdir):
    """One line on an unexpected error; writes its traceback to a file."""
    words = (str(error).strip().splitlines() or [''])[0][:_LONGEST]
    return (f'{type(error).__name__}: {words}; this is a fault of the program, or of what it runs '
            f'on: its traceback is in {_keep_traceback(error, workdir)}')


def _keep_traceback(error, workdir):
    text = ''.join(traceback.format_exception(error))
    runs = [pathlib.Path(part) for part in workdir.split(',')]
    for folder in (run for run in runs if (run / 'config.json').exists()):
        try:
            files.write_text(folder / LOG, text)
            return folder / LOG
        except (OSError, InputError, RunError):  # the disk may be full, or a bucket down
            if (folder / LOG).exists():
                return folder / LOG
            break
    path = pathlib.Path(tempfile.mkdtemp(prefix='bsce-tf-')) / LOG
    files.write_text(path, text)
    return path


def _say(error, status):
    print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
    return status
