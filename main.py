"""bsce-tf: train, evaluate and serve image classifiers on imbalanced, wrongly labelled catalogues.

  python main.py                                          # the demo
  python main.py --config=configs/X.py --workdir=DIR --mode=train --config.loss.alpha=0.4
"""

import importlib
import os
import sys

from absl import app, flags
from ml_collections import config_flags

from bsce_tf.errors import InputError, RunError

# What each mode runs, in order: 'module:function', each called with (config, workdir).
MODES = {
    'demo': ('experiments.demo:run',),
    'train': ('bsce_tf.training.train:train', 'bsce_tf.evaluation.evaluate:evaluate'),
    'evaluate': ('bsce_tf.evaluation.evaluate:evaluate',),
    'predict': ('bsce_tf.evaluation.predict:predict',),
    'export': ('bsce_tf.serving.export:export',),
    'audit': ('bsce_tf.audit.audit:audit',),
    'clean_train': ('bsce_tf.audit.rounds:clean_train',),
    'report': ('bsce_tf.report.report:report',),
    'models': ('bsce_tf.models.overview:run',),
    'convert': ('bsce_tf.models.convert:run',),
    'inspect': ('bsce_tf.catalogue.inspect:run',),
    'verify': ('bsce_tf.catalogue.verify:run',),
    'pack': ('bsce_tf.catalogue.pack:run',),
}

def main(arguments):
    """Runs a mode; returns the exit status: 0, or that of the error (see bsce_tf/errors.py)."""
    try:
        config, workdir, mode = _parse(arguments)
        from bsce_tf import config_check  # TensorFlow loads here, after the flags proved right
        from bsce_tf.evaluation import run_config
        config = run_config.resolve(mode, config, workdir, flags.FLAGS['config'])
        config_check.check(config)
        for step in MODES[mode]:
            module, function = step.split(':')
            getattr(importlib.import_module(module), function)(config, workdir)
    except (InputError, RunError) as error:
        return _say(error, error.status)
    except OSError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say('interrupted', 130)
    return 0


def _parse(arguments):
    """(config, workdir, mode) from the flags; every mistake in them becomes an InputError."""
    try:
        config = config_flags.DEFINE_config_file('config', 'configs/fashion_mnist.py', 'Config.')
        workdir = flags.DEFINE_string('workdir', 'runs/demo', 'Folder for the files of the run.')
        mode = flags.DEFINE_enum('mode', 'demo', list(MODES), 'What to do.')
        app.define_help_flags()
        rest = flags.FLAGS(arguments)[1:]
        if rest:
            raise ValueError(f"found '{rest[0]}'; expected only flags that begin with --.")
        config.value.keys()  # a file that failed to load says so only when it is read
        return config.value, workdir.value, mode.value
    except Exception as error:  # a config file is Python: it may raise anything
        overrides = [a.removeprefix('--config.') for a in arguments if a.startswith('--config.')]
        if overrides:
            from bsce_tf import config_check
            for override in overrides:
                name, _, value = override.partition('=')
                config_check.check_override(name, value)
        raise InputError(f'flags: {error}') from error


def _say(error, status):
    print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
    return status


if __name__ == '__main__':
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # else off on CPUs without AVX-512
    sys.exit(main(sys.argv))
