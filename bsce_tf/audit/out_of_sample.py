"""Out-of-sample predictions: of every training image, by a network that was not trained on it."""

import hashlib

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import division, files
from bsce_tf.audit import duplicates, folds, top_probabilities
from bsce_tf.audit import seen as seen_images
from bsce_tf.data import bad_images, groups, label_map
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import collect, networks
from bsce_tf.training import strategy, train, workdir

HELD_OUT, FEATURES = 'held_out', 'features'  # folders of predictions and of features
SEEN = 'seen.npy'  # bool [N], which images `audit.model` was trained on
_MOST_SEEN = 0.5  # share of the images that `audit.model` may have been trained on


def by_folds(config, folder, data, part=division.WHOLE):
    """(`top_probabilities.Sparse` of the training images of `data`, fold of each), int64 `[N]`.

    Trains a run of `config` in `folder`/fold-0 and so on, each without the images of its fold and
    without others of their groups. Its weights are chosen on the validation set. Runs and
    probabilities that exist are not made again.

    Args:
      config: ConfigDict.
      folder: pathlib.Path.
      data: `examples.Splits`.
      part: a `division.Division`; only its folds are trained, and only their images get a
        prediction.

    Raises:
      InputError: if a fold's folder is of other data; and what `train.train` raises.
    """
    fold, predicted = _folds(config, data.train)
    found = top_probabilities.empty(
        len(fold), min(config.audit.top_k, data.train.num_classes))
    for number in range(*part.span(config.audit.folds)):
        place = folder / f'fold-{number}'
        kept = np.flatnonzero(fold != number)
        held_out = np.flatnonzero(predicted & (fold == number))
        _train(config, place, data._replace(train=data.train.subset(kept)))
        new = _predict(config, workdir.read(place), place / HELD_OUT, data.train.subset(held_out),
                       f'fold {number}')
        for values, probabilities in zip(found, new, strict=True):
            values[held_out] = probabilities
    return found, np.where(predicted, fold, -1)


def _folds(config, train):
    return folds.fold_of(train.labels, train.num_classes, config.audit.folds, config.seed,
                         groups.together(train, config.data.copies))


def folds_made(config, folder, data, parts):
    """Yields whether `by_folds` is done with each of the parts."""
    fold, predicted = _folds(config, data.train)
    images = np.bincount(fold[predicted], minlength=config.audit.folds)
    for part in parts:
        yield all(collect.complete(folder / f'fold-{number}' / HELD_OUT, int(images[number]))
                  for number in range(*part.span(config.audit.folds)))


def by_model(config, folder, data, part=division.WHOLE):
    """(`top_probabilities.Sparse` of the training images of `data`, network of each), by one run.

    Images that the run `config.audit.model` was trained on get no prediction.

    Args:
      config: ConfigDict.
      folder: pathlib.Path, for the probabilities.
      data: `examples.Splits`.
      part: a `division.Division`; only its images are predicted.

    Returns:
      (`Sparse`, int64 `[N]`: 0, or −1 for an image that the run was trained on); None of a part.

    Raises:
      InputError: if the run has other classes, or was trained on more than half of the images.
    """
    run = workdir.read(config.audit.model)
    label_map.check(data.train.class_names, run.class_names, data.train.origin,
                    run.folder / workdir.CLASSES)
    seen = seen_images.seen(run, data.train, folder)
    with files.replacing(folder / SEEN) as temporary:
        np.save(temporary, seen)
    common = f'{run.folder} was trained on {int(seen.sum()):,} of the {len(seen):,} images'
    if seen.mean() > _MOST_SEEN:
        raise InputError(f'audit.model: {common}; expected a run on others, and on half of them at '
                         "most, or '' for audit.folds.")
    if seen.any():
        logging.warning('audit.model: %s, which get no prediction.', common)
    found = top_probabilities.empty(len(seen), min(config.audit.top_k, data.train.num_classes))
    unseen = np.flatnonzero(~seen)
    new = _predict(config, run, folder / HELD_OUT, data.train.subset(unseen), run.folder.name,
                   part)
    if not part.whole:
        return None
    for values, predicted in zip(found, new, strict=True):
        values[unseen] = predicted
    return found, np.where(seen, -1, 0)


def model_made(config, folder, data, parts):
    """Yields whether `by_model` is done with each of the parts."""
    unseen = int((~np.load(folder / SEEN)).sum())
    for part in parts:
        yield collect.complete(folder / HELD_OUT, unseen, part)


def features(config, folder, train):
    """(features of the training images, float16 `[N, d]`; which are good, bool `[N]`).

    They are `duplicates.projected`, by the run `config.audit.model` or that of the first fold.
    Whether it was trained on an image does not matter for features.

    Args:
      config: ConfigDict.
      folder: pathlib.Path of the audit.
      train: the `Examples`.
    """
    run = workdir.read(config.audit.model or folder / 'fold-0')
    found = _collect(config, run, folder / FEATURES, train,
                     lambda features, *_: {'features': duplicates.projected(features)},
                     'features', {'width': duplicates.WIDTH})
    return found['features'], found['good']


def _train(config, folder, data):
    keras.backend.clear_session()
    train.train(config, folder, data)


def _predict(config, run, folder, examples, title, part=division.WHOLE):
    size = len(run.class_names)
    top_k = min(config.audit.top_k, size)

    def compute(_, logits, labels):
        probabilities = tf.nn.softmax(logits)
        best, classes = tf.math.top_k(probabilities, top_k)
        return {'classes': classes, 'probabilities': best,
                'given': tf.gather(probabilities, labels, batch_dims=1)}

    found = _collect(config, run, folder, examples, compute, title, {'top_k': top_k}, part)
    if not part.whole:
        return None
    given = np.where(found['good'], found['given'], np.nan).astype(np.float32)
    return top_probabilities.Sparse(found['classes'], found['probabilities'], given)


def _collect(config, run, folder, examples, compute, title, about, part=division.WHOLE):
    """Arrays of all images from `compute`, a function of a batch's features, logits and labels.

    Of a part they are only written: None.
    """
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    scales = tuple(config.tta.scales) or (run.config.image.eval_scale,)
    with devices.scope():
        network = networks.of_run(run, scales)
    with open(run.weights, 'rb') as file:
        weights = hashlib.file_digest(file, 'sha256').hexdigest()
    made_of = {'images': records.fingerprint(examples), 'contents': records.contents(examples),
               'weights': weights, 'scales': list(scales), **about}
    listed = bad_images.list_of(folder.parent / workdir.BAD_IMAGES, part)
    bad = workdir.bad_images_of(config, folder.parent, listed.name)  # not the run's own images
    arguments = (folder, made_of, examples, [network.view],
                 lambda batch: compute(*network.outputs(batch.crops[0]), batch.labels), devices,
                 config.batch_size, bad, title)
    if part.whole:
        return collect.arrays(*arguments)
    collect.parts(*arguments, part)
    return None
