"""The folder of a run: the names of its files, its checks, and what it says of a trained run."""

import contextlib
import json
import pathlib
from typing import NamedTuple

import numpy as np
from ml_collections import config_dict

from bsce_tf import division, files, locks, storage
from bsce_tf.data import bad_images, label_map
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.training import stages

CONFIG, METRICS, CLASSES, DATA = 'config.json', 'metrics.csv', 'classes.json', 'data.json'
BEST, WEIGHTS, CHECKPOINTS = 'best.json', 'best.weights.h5', 'checkpoints'
TENSORBOARD, EVALUATION, BAD_IMAGES = 'tensorboard', 'eval.json', 'bad_images.csv'
NOT_FINITE, IMAGES = 'not_finite.txt', 'training_images.npy'

# Kinds of weights: as trained, their exponential moving average, their mean over the last epochs.
KINDS = {'raw': WEIGHTS, 'ema': 'ema.weights.h5', 'swa': 'swa.weights.h5'}


class Run(NamedTuple):
    """A trained run, read from its folder.

    Attributes:
      folder: pathlib.Path.
      config: ConfigDict of the stage that made the weights.
      class_names: K names; position is the class id.
      data: dict of data.json, on the training set: `images`, `channels`, `counts` (images of each
        class), `fingerprint` and `contents` (see `records`).
      weights: pathlib.Path of the weights to use.
      best: their entry in best.json: `kind`, `stage`, `epoch` and `error`.
    """

    folder: pathlib.Path
    config: config_dict.ConfigDict
    class_names: tuple
    data: dict
    weights: pathlib.Path
    best: dict


def local(workdir):
    """The folder of a run as pathlib.Path. Raises InputError for an address such as s3://…."""
    if storage.is_address(workdir):
        raise InputError(f"--workdir: found '{workdir}'; expected a folder of this machine.")
    return pathlib.Path(workdir)


def check(workdir):
    """Checks that `workdir` is, or can become, the folder of a run.

    Args:
      workdir: path of a folder that is missing, empty, or holds a run.

    Returns:
      pathlib.Path of the folder.

    Raises:
      InputError: if the folder holds anything else.
    """
    folder = local(workdir)
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f'--workdir: {folder} is a file; expected a folder.')
        if not (folder / CONFIG).exists() and folder.exists() and any(
                not files.is_leftover(path) and not path.name.endswith(locks.NAME)
                for path in folder.iterdir()):
            raise InputError(f'--workdir: {folder} is not empty and holds no {CONFIG}; expected an '
                             'empty folder or one of an earlier run.')
    except OSError as error:
        raise unusable(folder, error) from error
    return folder


@contextlib.contextmanager
def locked(folder, part=division.WHOLE):
    """Locks the folder of a run for this process within the block, see `locks.held`.

    Args:
      folder: path.
      part: a `division.Division`, to lock only this part of the work.

    Raises:
      RunError: if another process holds it.
      InputError: if it cannot be made or written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(part.held(folder))
        except OSError as error:
            raise unusable(folder, error) from error
        yield


def check_data(folder, data):
    """Raises InputError if the run in `folder` was started with images other than those of `data`.

    With other images, class ids could change their meaning, validation images could be ones that
    were trained on, and the best weights would have been chosen by other images.

    Args:
      folder: pathlib.Path.
      data: an `examples.Splits`; training and validation are compared.
    """
    path = folder / DATA
    if not path.exists():
        return
    there, examples = json_of(path), data.train
    if there.get('fingerprint') != records.fingerprint(examples):
        raise InputError(f'{path}: begun with other training data: {there.get("images")} images of '
                         f'{len(there.get("counts", ()))} classes there, {len(examples)} of '
                         f'{examples.num_classes} now; expected the same images and labels, or '
                         'another --workdir.')
    known = there.get('validation_fingerprint')  # missing in runs of version 1
    if known and known != records.fingerprint(data.validation):
        raise InputError(f'{path}: begun with other validation images or labels; expected the '
                         'same, or another --workdir.')
    for key, part in (('contents', examples), ('validation_contents', data.validation)):
        if there.get(key) and not records.same(there[key], records.contents(part)):
            raise InputError(f'{path}: begun with other images: {part.origin} has the same names '
                             'and labels, but images of other sizes or bytes; expected the same '
                             'images, or another --workdir.')


def unusable(folder, error):
    """The `InputError` that stands for an OSError in the folder."""
    return InputError(f'--workdir: {folder}: {error.strerror or error}; expected a folder that can '
                      'be read and written.')


def describe(folder, data):
    """Writes classes.json, data.json and training_images.npy, which describe the `Splits`.

    training_images.npy holds the sorted hashes of the training images, from which an audit tells
    what the model has seen. A resumed run keeps its files; see `check_data`.
    """
    if (folder / IMAGES).exists() and 'contents' in json_of(folder / DATA):
        return
    examples = data.train
    label_map.save(folder / CLASSES, examples.class_names)
    files.write_json(folder / DATA, {
        'images': len(examples), 'channels': examples.channels,
        'fingerprint': records.fingerprint(examples), 'counts': examples.counts.tolist(),
        'contents': records.contents(examples),
        'validation_fingerprint': records.fingerprint(data.validation),
        'validation_contents': records.contents(data.validation)})
    with files.replacing(folder / IMAGES) as temporary:
        np.save(temporary, np.sort(records.identities(examples)))


def seen(run, examples):
    """Tells which images of a set a `Run` was trained on: bool `[N]`, see `records.identities`.

    Raises:
      InputError: if the run's list of images is missing or damaged.
    """
    path = run.folder / IMAGES
    try:
        there = np.load(path, allow_pickle=False)
        if there.dtype != np.uint64 or there.shape != (run.data['images'],):
            raise ValueError(f'found {there.dtype} of shape {there.shape}')
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f'{path}: {error}; expected the hashes of the training images, as a run '
                         'of this version writes them.') from error
    return np.isin(records.identities(examples), there)


def bad_images_of(config, folder, name=BAD_IMAGES):
    """The `BadImages` of a run: how `config.data` treats images that cannot be read.

    Args:
      config: ConfigDict.
      folder: pathlib.Path where they are listed; None: they are only logged.
      name: file name of the list.
    """
    return bad_images.BadImages(config.data.on_error, config.data.max_bad_fraction,
                                config.data.max_pixels, folder and folder / name,
                                config.seed)


def read(workdir):
    """The trained `Run` in a folder, with the weights that its `averaging.select` asks for.

    Raises:
      InputError: if there is no trained run, or a file of it is damaged.
    """
    found = kinds(workdir)
    run = next(iter(found.values()))
    wanted = run.config.averaging.select
    if wanted == 'best':
        return min(found.values(), key=lambda other: other.best['error'])
    if wanted not in found:
        raise InputError(f"{run.folder}: averaging.select is '{wanted}'; expected one of "
                         f'{", ".join(found)}, which the run made.')
    return found[wanted]


def kinds(workdir):
    """{kind: `Run`} for all weights of a run: raw, and ema and swa if it made them.

    Raises:
      InputError: as `read`.
    """
    folder = local(workdir)
    config = config_of(folder)
    class_names, data = label_map.load(folder / CLASSES), json_of(folder / DATA)
    found = {}
    for kind, best in json_of(folder / BEST).items():
        try:
            stage, weights = stages.resolve(config)[best['stage']], folder / KINDS[kind]
            best = {'kind': kind, 'error': best['error'], **best}
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise InputError(f'{folder}: {BEST} and {CONFIG} do not fit together ({error}); '
                             'expected the files of one run.') from error
        if not weights.exists():
            raise _no_run(weights)
        found[kind] = Run(folder, stage, class_names, data, weights, best)
    if not found:
        raise InputError(f'{folder / BEST}: names no weights; expected those of a trained run.')
    return found


def _no_run(path):
    return InputError(f'--workdir: {path.parent} has no {path.name}; expected the folder of a '
                      'trained run (--mode=train).')


def config_of(folder, name=CONFIG):
    """The config of a run that any earlier version may have written, as a ConfigDict of all fields.

    Args:
      folder: path.
      name: of the file in it.

    Raises:
      InputError: if the file is missing, damaged or of a newer version.
    """
    path = pathlib.Path(folder) / name
    return config_dict.ConfigDict(stored.complete(json_of(path), path))


def json_of(path):
    """The dict in a JSON file of a run.

    Raises:
      InputError: if there is no such file, or it holds no JSON object.
    """
    if not path.exists():
        raise _no_run(path)
    try:
        value = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(value, dict):
            raise ValueError(f'found a {type(value).__name__}')
    except (ValueError, OSError) as error:
        raise InputError(f'{path}: {error}; expected a JSON object that a run wrote.') from error
    return value
