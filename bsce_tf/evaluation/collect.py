"""Outputs of a network for a set of images, saved in parts, so that a killed program can resume."""

import json

import numpy as np

from bsce_tf import division, files, progress
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import forward

_PART = 2**16  # images per file, at most
_MADE_OF = 'made_of.json'


def arrays(*arguments):
    """What `compute` gives for all images; parts that exist are read.

    Args:
      *arguments: of `parts`.

    Returns:
      dict of NumPy arrays `[N, …]` of what `compute` gives, and `good`, bool: False for bad images.

    Raises:
      InputError: if the folder holds parts of something else.
    """
    found = [read(path) for path in parts(*arguments)]
    return {name: np.concatenate([part.pop(name) for part in found]) for name in list(found[0])}


def parts(folder, made_of, examples, views, compute, devices, batch_size, bad, title,
          of=division.WHOLE):
    """Writes what `compute` gives for all images; parts that exist are not made again.

    Args:
      folder: pathlib.Path of the parts; it may be missing.
      made_of: dict of plain values: what the arrays depend on.
      examples, views, compute, devices, batch_size, bad: see `forward.over`.
      title: of the progress bar.
      of: a `division.Division`, to write only the files of this part of the work.

    Returns:
      List of pathlib.Path, for `read`, in the order of the images; those of the work's other parts
      may be missing.

    Raises:
      InputError: if the folder holds parts of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check(folder / _MADE_OF, made_of)
    paths = _paths(folder, len(examples))
    begin, stop = of.span(len(examples), _PART)
    with progress.Bar(title, stop - begin) as bar:
        for first in range(begin, stop, _PART):
            path = paths[first // _PART]
            end = min(first + _PART, len(examples))
            if path.exists():
                bar.update(end - first)
                continue
            found = []
            for batch in forward.over(examples, views, compute, devices, batch_size, bad, first,
                                      end):
                found.append(batch)
                bar.update(len(batch['good']))
            with files.replacing(path) as temporary:
                np.savez(temporary, **{name: np.concatenate([batch[name] for batch in found])
                                       for name in found[0]})
    return paths


def complete(folder, images, of=division.WHOLE):
    """Whether `parts` has written its files of so many images, or of a part of the work."""
    begin, stop = of.span(images, _PART)
    return all(path.exists() for path in _paths(folder, images)[begin // _PART:-(-stop // _PART)])


def _paths(folder, images):
    return [folder / f'{number:05d}.npz' for number in range(-(-images // _PART))]


def read(path):
    """The arrays of one part, {name: array}."""
    with np.load(path) as file:
        return dict(file)


def about(folder):
    """The dict `made_of` of the parts in a folder.

    Raises:
      OSError: if there is none.
      InputError: if it is damaged.
    """
    path = folder / _MADE_OF
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise InputError(f'{path}: {error}; expected JSON. Delete {path.parent} to begin '
                         'anew.') from error


def _check(path, made_of):
    if not path.exists():
        files.write_json(path, made_of)
        return
    found = about(path.parent)
    differing = records.differing(found, made_of)
    if differing:
        raise InputError(f'{path}: {", ".join(differing)} differed when it was begun; expected the '
                         f'same as now. Delete {path.parent} to begin anew.')
