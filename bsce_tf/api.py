"""The Python interface: train, load, predict, evaluate, export.

    import bsce_tf

    run = bsce_tf.train('fashion_mnist', 'runs/shop', epochs=3)
    run = bsce_tf.load('runs/shop')
    run.errors, run.history, run.class_names, run.config
    run.predict(['shoe.jpg', array]).classes
    model = run.model()
"""

import contextlib
import csv
import functools
import json
import types
from typing import NamedTuple

import keras
import numpy as np
from absl import logging

from bsce_tf import config_check, fields, recipes
from bsce_tf.data import bad_images, given, prepare, sources
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, evaluate, networks, predictors, run_config
from bsce_tf.evaluation.neighbours import measure
from bsce_tf.remote import workdirs
from bsce_tf.serving import export
from bsce_tf.training import strategy, workdir
from bsce_tf.training import train as training

GIVEN = 'given'  # data.source of a run on data from Python


class Predictions(NamedTuple):
    """The top-k classes of n images, the best first.

    Attributes:
      classes: str `[n, k]`, names of classes.
      scores: float32 `[n, k]`, probabilities.
    """

    classes: np.ndarray
    scores: np.ndarray


class Run:
    """A trained run in a folder; see `load`.

    Attributes:
      folder: pathlib.Path; for a run in a bucket, that of its copy on this machine.
      config: ConfigDict of the last stage.
      class_names: tuple of K names; the index is the class id.
      weights: pathlib.Path of the weights that `averaging.select` asks for.
    """

    def __init__(self, folder, here=None):
        self._place = folder
        # `here`: where a run in a bucket is worked on by whoever makes this object.
        with contextlib.nullcontext(here) if here else workdirs.here(folder) as found:
            self._run = workdir.read(found)
        self.folder, self.weights = self._run.folder, self._run.weights
        self.config, self.class_names = self._run.config, self._run.class_names

    def __repr__(self):
        return (f'Run({str(self.folder)!r}: {self.config.model.backbone}, '
                f'{len(self.class_names):,} classes, validation error '
                f'{self._run.best["error"]:.4f})')

    @property
    def errors(self):
        """Dict of eval.json, see `evaluate`; None if the run was not evaluated."""
        path = self.folder / workdir.EVALUATION
        return json.loads(path.read_text(encoding='utf-8')) if path.exists() else None

    @property
    def history(self):
        """The rows of metrics.csv: a list of dicts of floats, one for each epoch."""
        with open(self.folder / workdir.METRICS, newline='', encoding='utf-8') as file:
            return [{key: float(value) for key, value in row.items() if value}
                    for row in csv.DictReader(file)]

    def model(self):
        """The classifier as a plain `keras.Model`: to fine-tune, compile or save.

        Returns:
          Model: images `[n, size, size, channels]`, values 0 to 255 → logits `[n, K]`. Save it as
          `.keras`; `import bsce_tf` before you load it.
        """
        return networks.model_of(self._run)

    def predict(self, images, top_k=5, batch_size=64):
        """Classifies images; averages the features of all test scales.

        Args:
          images: list of paths of image files and of arrays, uint8 `[height, width]` or `[height,
            width, 1 or 3]`, mixed and of any sizes.
          top_k: number of classes for each image, at most K.
          batch_size: number of images in a batch.

        Returns:
          `Predictions`.

        Raises:
          InputError: if an image is bad; it names the image.
        """
        examples = given.unlabelled(images)
        bad = bad_images.BadImages(max_pixels=self.config.data.max_pixels)
        self._predictor.top_k = min(top_k, len(self.class_names))
        found = list(self._predictor.answers(examples, batch_size, bad))
        return Predictions(np.concatenate([part.classes for part in found]).astype(str),
                           np.concatenate([part.scores for part in found]))

    def evaluate(self, data=None, **changes):
        """Errors on the test set, or without one on the validation set; writes eval.json.

        With `**{'predict.by': 'neighbours'}` or 'both', errors by an index, in neighbours.json.

        Args:
          data: for a run that was trained on data from Python: the same data, see `train`.
          **changes: fields of the config, such as `**{'tta.scales': (28, 32)}`; see
            `run_config.FREE`.

        Returns:
          Dict as `errors`, or that of neighbours.json.

        Raises:
          InputError: if a field may not differ from the run's, or the data is not as expected.
        """
        with workdirs.here(self._place) as folder:
            config = self._config('evaluate', changes)
            return measure.evaluate(config, folder, data and _given(config, data))

    def export(self, **changes):
        """Writes files for TensorFlow Serving and other programs; see `serving.export`.

        Args:
          **changes: fields of the config, such as `**{'export.top_k': 3}`.

        Returns:
          pathlib.Path of the folder of the new version; for a run in a bucket, that of its copy on
          this machine.
        """
        with workdirs.here(self._place) as folder:
            return export.export(self._config('export', changes), folder)

    def _config(self, mode, changes):
        changes = {fields.current(name): value for name, value in changes.items()}
        given = recipes.defaults()
        recipes.change(given, changes)
        flag = types.SimpleNamespace(override_values=changes, present=False)
        return run_config.resolve(mode, given, str(self.folder), flag)

    @functools.cached_property
    def _predictor(self):
        devices = strategy.of_this_machine('one', 0)
        return predictors.Runs([self._run], (), 1, devices,
                               adjust.taus(self.config, [self._run], devices))


def train(config, folder, data=None, callbacks=(), **changes):
    """Trains and evaluates a run, as `--mode=train` does; resumes a stopped run.

    Afterwards Keras's global seed is that of the run, and TensorFlow stays deterministic if
    `deterministic=True`. Keras's dtype policy is restored.

    On a damaged JPEG, TensorFlow's decoder writes a line to standard error, such as "Corrupt JPEG
    data", that names no image. The program leaves these lines out; here they stay, as the filter
    takes over the standard error of the whole process, which may be a notebook's. A script can use
    it: `with decoder_messages.left_out():`. `bsce verify` names the images.

    Args:
      config: ConfigDict, name or path of a config; see `recipes.load`.
      folder: path or address in a bucket (s3://shop/run); the folder is missing, empty or holds
        the same run.
      data: replaces `config.data.source`: (images, labels), a `tf.data.Dataset`, or a dict of them
        with 'train' and optionally 'validation' and 'test'; see `given.splits`. The fields
        `validation_fraction`, `imbalance` and `noise` of `config.data` still apply. To resume a
        run, pass the same data again.
      callbacks: list of `keras.callbacks.Callback`, see `training.observers.callbacks`.
      **changes: fields of the config, such as `epochs=3` or `**{'loss.name': 'ce'}`.

    Returns:
      `Run`.

    Raises:
      InputError: if a field, the data or the folder is not as expected.
      RunError: if the loss is no longer finite, a file cannot be written, or, of a run in a
        bucket, another process works there or the bucket does not answer.
    """
    config = recipes.load(config)
    recipes.change(config, changes)
    config_check.check(config)
    splits = None
    if data is not None:
        config.data.source = GIVEN
        _warn_of_unused(config.data)
        splits = _given(config, data)
    policy = keras.mixed_precision.dtype_policy()
    try:
        with workdirs.here(folder, strategy.worker_name(config.strategy)) as here:
            training.train(config, here, splits, callbacks=callbacks)
            evaluate.evaluate(config, here, splits)
            return Run(folder, here)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


def _warn_of_unused(given_fields):
    """Logs the fields that say where a source finds data; data from Python needs none."""
    unused = [f'config.data.{name}' for name in sources.FIELDS
              if name not in ('cache', 'group_column', 'group_pattern', 'readers')
              and given_fields[name] != fields.TABLE[f'data.{name}'].default]
    if unused:
        logging.warning('%s: set, but the data come from Python, so that this has no effect.',
                        ', '.join(unused))


def _given(config, data):
    """`Splits` of data from Python, prepared as `config.data` says."""
    fields = config.data
    if fields.group_column:
        raise InputError(f"data.group_column: found '{fields.group_column}', but data from Python "
                         'have no columns; expected none, or data.group_pattern.')
    found = sources.read_by(given.splits(data), fields.readers)
    if fields.group_pattern:
        found = sources.grouped(found, fields.group_pattern)
    return prepare.of(found, fields.source, seed=config.seed, copies=fields.copies,
                      validation_fraction=fields.validation_fraction, imbalance=fields.imbalance,
                      noise=fields.noise, noise_kind=fields.noise_kind,
                      unseen_classes=fields.unseen_classes, trusted=fields.trusted)


def load(folder):
    """Opens the trained `Run` in a folder, given by its path or its address in a bucket.

    Nobody else may work on a run in a bucket while it is opened, evaluated or exported: a file
    there says so, which takes a second and the right to write.

    Raises:
      InputError: if there is no trained run, or a file of it is damaged.
      RunError: of a run in a bucket, if another process works there or the bucket does not answer.
    """
    return Run(folder)
