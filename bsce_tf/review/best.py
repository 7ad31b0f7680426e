"""The most probable classes of images, from what an audit's networks predicted and kept."""

import numpy as np

from bsce_tf.audit import folds, out_of_sample
from bsce_tf.data import groups
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import collect
from bsce_tf.training import workdir

MOST = 5  # classes of an image


def read(config, folder, train, most=MOST):
    """(int32 `[N, k]`, float32 `[N, k]`): the k ≤ `most` best classes of each image, best first.

    An image without a prediction, or whose predictions were deleted, has the class −1.

    Args:
      config: ConfigDict of the audit.
      folder: pathlib.Path of the audit.
      train: the `Examples` that were audited.
      most: classes of an image; no more than `audit.top_k` were kept.
    """
    width = min(most, config.audit.top_k, train.num_classes)
    classes = np.full((len(train), width), -1, np.int32)
    probabilities = np.zeros((len(train), width), np.float32)
    for place, images in _parts(config, folder, train):
        found = _stored(place, train, images)
        if found is not None:
            classes[images], probabilities[images] = (part[:, :width] for part in found)
    return classes, probabilities


def _parts(config, folder, train):
    """Yields (folder of predictions, int64 `[n]` indices of its images)."""
    if config.audit.model:
        try:
            seen = _seen(config, folder, train)
        except (InputError, ValueError, EOFError):  # the run is gone, or the file is damaged
            return  # the page does without its predictions
        if len(seen) != len(train):  # the data have changed since
            return
        yield folder / out_of_sample.HELD_OUT, np.flatnonzero(~seen)
        return
    fold, predicted = folds.fold_of(train.labels, train.num_classes, config.audit.folds,
                                    config.seed, groups.together(train, config.data.copies))
    for number in range(config.audit.folds):
        yield (folder / f'fold-{number}' / out_of_sample.HELD_OUT,
               np.flatnonzero(predicted & (fold == number)))


def _seen(config, folder, train):
    """bool `[N]`, which images `audit.model` was trained on."""
    try:
        return np.load(folder / out_of_sample.SEEN, allow_pickle=False)
    except FileNotFoundError:  # an audit of an earlier version, which went by names
        return workdir.seen(workdir.read(config.audit.model), train)


def _stored(folder, train, images):
    """(classes, probabilities) of the images, or None if the folder has those of others."""
    try:
        about = collect.about(folder)
        if about.get('images') != records.fingerprint(train.subset(images)):
            return None
        parts = [collect.read(path) for path in sorted(folder.glob('*.npz'))]
        found = [np.concatenate([part[name] for part in parts])
                 for name in ('classes', 'probabilities', 'good')]
    except (OSError, ValueError, KeyError, InputError):
        return None
    if len(found[0]) != len(images):
        return None
    found[0][~found[2]] = -1
    return found[:2]
