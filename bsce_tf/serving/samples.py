"""A few real images to check an export with and to warm up a server."""

import pathlib

import numpy as np
import tensorflow as tf

from bsce_tf.data import prepare
from bsce_tf.data.images import check
from bsce_tf.data.listing import walk
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import run_data
from bsce_tf.progress import Bar

COUNT = 6
_CANDIDATES = 60  # images tried, as some may be bad


def load(run, place='', max_pixels=0):
    """At most `COUNT` encoded images that can be decoded.

    Args:
      run: `workdir.Run`; images come from its test set, or else its validation set. Images in
        memory are encoded as PNG.
      place: a file or folder of images to use instead; '' for none.
      max_pixels: larger images are skipped; 0 for no limit.

    Returns:
      List of bytes, at least one.

    Raises:
      InputError: if no image is found, none can be read, or the run's data are missing.
    """
    where, candidates = _in_folder(place) if place else _of_run(run)
    images, reason = [], 'none found'
    for data in candidates:
        found = check.reason(data, max_pixels)
        if found is None:
            images.append(data)
        reason = found or reason
        if len(images) == COUNT:
            break
    if not images:
        raise InputError(f'{where}: no image to check the export with ({reason}); expected JPEG, '
                         'PNG, WebP, GIF or BMP images there or in config.export.images.')
    return images


def labelled(config, runs, count, max_pixels=0):
    """Yields at most `count` (bytes, class id), evenly spread, of what `evaluate` would evaluate.

    Images that cannot be used are left out. A progress bar shows how many were asked for.

    Args:
      config: ConfigDict; data is used.
      runs: list of `workdir.Run`.
      count: at least 1.
      max_pixels: larger images are left out; 0 for no limit.

    Raises:
      InputError: if the data are missing or have other classes.
    """
    _, examples = run_data.evaluated(run_data.load(config, runs), runs)
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), count)).astype(int))
    with Bar('export: errors of the files', len(chosen)) as bar:
        for i in chosen:
            bar.update()
            try:
                (data,) = _encoded(examples, [i])
            except InputError:
                continue
            if check.reason(data, max_pixels) is None:
                yield data, int(examples.labels[i])


def _in_folder(place):
    path = pathlib.Path(place)
    if not path.exists():
        raise InputError(f'config.export.images: {path} does not exist; expected an image or a '
                         'folder of images.')
    paths = [path / name for name in walk.images(str(path))] if path.is_dir() else [path]
    return f'config.export.images: {path}', (
        paths[i].read_bytes() for i in _spread(len(paths)))


def _of_run(run):
    try:
        data = prepare.load(**run.config.data, seed=run.config.seed)
    except InputError as error:
        raise InputError(f'{error} The export is checked with images of {run.folder}: expected its '
                         'data, or images in config.export.images.') from error
    examples = data.validation if data.test is None else data.test
    return examples.origin, _encoded(examples, _spread(len(examples)))


def _encoded(examples, indices):
    """Yields the images at `indices` as bytes."""
    if examples.images is not None:
        yield from (tf.io.encode_png(examples.images[i]).numpy() for i in indices)
    else:
        stored = records.of(examples)
        yield from (stored.read([i])[0] for i in indices)


def _spread(total):
    """Evenly spread indices, ordered so that the first few are spread too."""
    chosen = np.unique(np.linspace(0, total - 1, min(total, _CANDIDATES)).astype(int))
    return np.concatenate([chosen[i::10] for i in range(10)]) if total else chosen
