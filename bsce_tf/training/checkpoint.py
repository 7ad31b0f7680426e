"""Checkpoints: the state of a run in one file, from which it resumes exactly."""

import contextlib
import json
import os
import re
import zlib

import h5py
import numpy as np
from absl import logging

from bsce_tf import files
from bsce_tf.errors import InputError, RunError
from bsce_tf.training.state import State

_PATTERN = re.compile(r'step-\d{10}\.h5')
_DAMAGED = '.damaged'
_OVERHEAD = 2**12  # bytes of a data set besides its values


def save(folder, state, arrays, keep=2):
    """Writes a checkpoint and removes those older than the `keep` newest, damaged ones included.

    Args:
      folder: pathlib.Path; made if it is missing.
      state: a `State`.
      arrays: list of NumPy arrays or scalars.
      keep: number of checkpoints to keep, at least 1.

    Raises:
      RunError: if the file cannot be written; earlier checkpoints are unchanged.
    """
    path = folder / name_of(state.total)
    try:
        folder.mkdir(exist_ok=True)
        files.check_space(folder, space(arrays))
        with files.replacing(path) as temporary, h5py.File(temporary, 'w') as file:
            text = json.dumps(vars(state))
            file['state'], file['checksum'] = text, zlib.crc32(text.encode())
            for i, value in enumerate(arrays):
                file[str(i)] = value
                file[str(i)].attrs['checksum'] = _checksum(value)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise RunError(f'{path}: cannot be written: {reason}; the checkpoint before it is kept, '
                       'and the same command resumes from there.') from error
    kept = names(folder)[-keep:]
    for path in folder.iterdir():
        if _PATTERN.match(path.name) and path.name < kept[0]:
            path.unlink()


def set_aside(folder, name):
    """Renames the checkpoints newer than the one that was loaded, which are damaged.

    `save` then does not count them. Call it only while holding the folder's lock.

    Args:
      folder: pathlib.Path.
      name: file name of the checkpoint that was loaded.
    """
    for damaged in names(folder):
        if damaged > name:
            (folder / damaged).rename(folder / f'{damaged}{_DAMAGED}')


def space(arrays):
    """Upper bound of the bytes that an HDF5 file of these arrays takes."""
    return sum(np.asarray(array).nbytes + _OVERHEAD for array in arrays) + 2**20


def name_of(total):
    """File name of the checkpoint after `total` steps of the run."""
    return f'step-{total:010d}.h5'


def names(folder):
    """File names of the checkpoints in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _PATTERN.fullmatch(path.name))


def newest_state(folder):
    """The `State` of the newest checkpoint with a readable state; a new `State` without one.

    It reads no arrays and is quick. `load` may find the arrays damaged and use an earlier one.
    """
    for name in reversed(names(folder)):
        with contextlib.suppress(OSError, KeyError, ValueError, TypeError), h5py.File(
                folder / name, 'r') as file:
            return _state(file)
    return State()


def load(folder, name=None):
    """Loads the newest undamaged checkpoint; a warning names each damaged one.

    Args:
      folder: pathlib.Path.
      name: file name of the checkpoint; None: the newest.

    Returns:
      (file name, `State`, list of arrays), or None without a checkpoint.

    Raises:
      InputError: if all checkpoints are damaged.
    """
    found = names(folder) if name is None else [name]
    errors = []
    for candidate in reversed(found):
        try:
            return candidate, *_read(folder / candidate)
        except (OSError, KeyError, ValueError, TypeError) as error:
            errors.append(f'{folder / candidate}: damaged ({error})')
            logging.warning('%s; the checkpoint before it is tried', errors[-1])
    if errors:
        raise InputError(f'{errors[0]}; expected at least one whole checkpoint of this run. '
                         'Another --workdir begins anew.')
    return None


def _read(path):
    with h5py.File(path, 'r') as file:
        state = _state(file)
        arrays = []
        for i in range(len(file) - 2):
            arrays.append(file[str(i)][()])
            if _checksum(arrays[-1]) != file[str(i)].attrs['checksum']:
                raise ValueError(f'array {i} does not match its checksum')
    return state, arrays


def _state(file):
    text = file['state'][()]
    if zlib.crc32(text) != file['checksum'][()]:
        raise ValueError('the state does not match its checksum')
    return State(**json.loads(text))


def assign(variables, arrays, name):
    """Sets variables to the arrays of a checkpoint.

    Raises:
      InputError: if their number or shapes differ.
    """
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [np.shape(a) for a in arrays]:
        raise InputError(f'{name}: holds {len(arrays)} arrays that do not fit the '
                         f'{len(variables)} variables of the run; expected a checkpoint of this '
                         'run and version.')
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _checksum(value):
    return zlib.crc32(np.ascontiguousarray(value).view(np.uint8).reshape(-1))
