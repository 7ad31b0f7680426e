"""Predictions of a run's model for its test or validation set, cached in the run's folder."""

import hashlib
import json
import zipfile
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import files, progress
from bsce_tf.data import bad_images, label_map, prepare
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.evaluation import adjust, forward, networks
from bsce_tf.training import workdir

CACHE = 'report_cache.npz'
_VERSION = 2  # of the file's format


class Predictions(NamedTuple):
    """The model's predictions of the n images of a set.

    Attributes:
      predicted: int32 `[n]`, the most probable class; −1 if the output is not finite.
      probability: float32 `[n]`, of the predicted class, 0 … 1.
      given: float32 `[n]`, probability of the label, 0 … 1.
      good: bool `[n]`; False for an image that could not be read; it is not counted.
    """

    predicted: np.ndarray
    probability: np.ndarray
    given: np.ndarray
    good: np.ndarray


class Answers(NamedTuple):
    """Predictions with their data.

    Attributes:
      split: 'test' or 'validation'.
      examples: the `Examples` of the split.
      train: the `Examples` of the training set.
      predictions: the `Predictions`.
    """

    split: str
    examples: Examples
    train: Examples
    predictions: Predictions


def load_data(run):
    """(name of the split, its `Examples`, the training `Examples`) of a `workdir.Run`.

    Raises:
      InputError: if the data cannot be read or has other classes than the run.
    """
    data = prepare.load(**run.config.data, seed=run.config.seed)
    classes = run.folder / workdir.CLASSES
    label_map.check(run.class_names, data.train.class_names, classes, data.train.origin)
    if data.test is not None and data.test.labelled:
        return 'test', data.test, data.train
    return 'validation', data.validation, data.train


def of_run(run, examples, devices, tau=0.0):
    """The `Predictions` of a run's selected weights at `image.eval_scale`.

    Bad images are left out and listed in bad_images.csv, whatever `data.on_error` says. The result
    is cached in report_cache.npz and reused as long as weights, config and data are the same.

    Args:
      run: a `workdir.Run`.
      examples: a labelled `Examples` of the run's classes.
      devices: tf.distribute.Strategy of this machine.
      tau: τ of the logit adjustment, see `adjust`; 0 for none.

    Raises:
      InputError: if the weights do not fit, or a class without training images has no log π.
    """
    path, mark = run.folder / CACHE, _mark(run, examples, tau)
    found = _cached(path, mark, len(examples))
    if found is None:
        found = _predict(run, examples, devices, tau)
        try:
            with files.replacing(path) as temporary:
                np.savez_compressed(temporary, mark=np.array(mark), **found._asdict())
        except OSError as error:  # the folder may be read-only; the report works without the cache
            logging.warning('%s: %s; the next report predicts again.', path, error)
    return found


def _mark(run, examples, tau):
    """Hex digest of everything that the predictions depend on."""
    digest = hashlib.sha256()
    config = {key: run.config[key] for key in ('image', 'model', 'data', 'precision')}
    data = examples.origin, records.fingerprint(examples), records.contents(examples)
    prior = [tau, run.config.sampler.to_dict(), run.data['counts']] if tau else None
    digest.update(json.dumps([_VERSION, config, data, prior], sort_keys=True,
                             default=lambda value: value.to_dict()).encode())
    with open(run.weights, 'rb') as file:
        digest.update(hashlib.file_digest(file, 'sha256').digest())
    return digest.hexdigest()


def _cached(path, mark, images):
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            if str(arrays['mark']) != mark:
                return None
            found = Predictions(*(arrays[name] for name in Predictions._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logging.warning('%s: %s; predicting again.', path, error)
        return None
    return found if all(len(part) == images for part in found) else None


def _predict(run, examples, devices, tau):
    config = run.config
    bad = bad_images.BadImages('skip', 1.0, config.data.max_pixels,
                               run.folder / workdir.BAD_IMAGES, config.seed)
    with devices.scope():
        network = networks.of_run(run, (config.image.eval_scale,))
    network = adjust.adjusted(network, run, tau)

    def compute(batch):
        _, logits = network.outputs(batch.crops[0])
        probabilities = tf.nn.softmax(logits)
        finite = tf.reduce_all(tf.math.is_finite(probabilities), axis=-1)
        first = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return {'predicted': tf.where(finite, first, -1),
                'probability': tf.gather(probabilities, first, batch_dims=1),
                'given': tf.gather(probabilities, batch.labels, batch_dims=1)}

    parts = []
    with progress.Bar(f'report: {run.folder}', len(examples)) as bar:
        for found in forward.over(examples, [network.view], compute, devices, config.batch_size,
                                  bad):
            parts.append(found)
            bar.update(len(found['good']))
    return Predictions(*(np.concatenate([part[name] for part in parts])
                         for name in Predictions._fields))
