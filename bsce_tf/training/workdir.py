"""The folder of one run: who owns it and what lies where."""

import json
import pathlib

from bsce_tf import files
from bsce_tf.errors import InputError

CONFIG, WEIGHTS, METRICS = 'config.json', 'best.weights.h5', 'metrics.csv'
CLASSES, TENSORBOARD, EVALUATION = 'classes.json', 'tensorboard', 'eval.json'
BAD_IMAGES = 'bad_images.csv'


def claim(workdir, config):
    """Makes `workdir` the folder of the run that `config` describes, or checks that it is.

    Args:
      workdir: path of a folder that is missing, empty, or holds a run of the same config.
      config: nested dict of plain values.

    Returns:
      pathlib.Path of the folder, which holds config.json.

    Raises:
      InputError: if the folder holds anything else, naming the fields that differ.
    """
    folder = pathlib.Path(workdir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'--workdir: {folder} is a file; expected a folder.')
    if (folder / CONFIG).exists():
        _compare(folder, config)
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f'--workdir: {folder} is not empty and holds no {CONFIG}; expected an '
                         'empty folder or one of an earlier run.')
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / CONFIG, config)
    return folder


def of_run(workdir, config):
    """The folder of a run that was trained with `config`, for what comes after training.

    Raises:
      InputError: if there is no trained run, or it has another config.
    """
    folder = pathlib.Path(workdir)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise InputError(f'--workdir: {folder} has no {name}; expected the folder of a trained '
                             'run (--mode=train).')
    _compare(folder, config)
    return folder


def _compare(folder, config):
    path = folder / CONFIG
    try:
        there = _flat(json.loads(path.read_text(encoding='utf-8')))
    except (ValueError, AttributeError) as error:
        raise InputError(f'{path}: {error}; expected the config of a run.') from error
    here = _flat(json.loads(json.dumps(config)))
    differing = [f'{key} is {there.get(key)!r} there and {here.get(key)!r} now'
                 for key in sorted(there.keys() | here.keys()) if there.get(key) != here.get(key)]
    if differing:
        more = f' and {len(differing) - 3} more' if len(differing) > 3 else ''
        raise InputError(f'--workdir: {folder} holds another run: {"; ".join(differing[:3])}{more}.'
                         ' Expected another --workdir, or the same config.')


def _flat(tree, prefix=''):
    flat = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        flat.update(_flat(value, f'{name}.') if isinstance(value, dict) else {name: value})
    return flat
