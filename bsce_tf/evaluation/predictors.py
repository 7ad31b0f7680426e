"""Top-k classes of images by trained runs or by a SavedModel, through one interface."""

import dataclasses
import hashlib
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bsce_tf.data import given, loading
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation import adjust, ensemble, forward, networks

_OUTPUTS = ('class_names', 'class_ids', 'scores')


class Answers(NamedTuple):
    """The top-k classes of a batch of n images, best class first.

    Attributes:
      good: bool `[n]`; False for a bad image, whose other entries mean nothing.
      classes: str or bytes `[n, k]`, class names.
      scores: float `[n, k]`: probabilities; of an ensemble, their mean over the models.
      votes: int `[n, k]`: number of models whose top-1 class it is; None for one model.
      more: for each image the cells of the predictor's `columns`.
    """

    good: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    votes: np.ndarray | None
    more: list | None = None


class Runs:
    """Predicts by trained runs: features averaged over all test scales; several runs vote.

    Args:
      runs: list of `workdir.Run`, of the same classes.
      scales: test scales, see `networks.of_run`.
      top_k: classes per image; all, if the runs have fewer.
      devices: tf.distribute.Strategy.
      taus: τ of each run, see `adjust`; None: 0.

    Attributes:
      top_k: k; may be changed between calls.
      voting: whether answers have votes.
      columns: names of what answers have besides.
      fingerprints: list of strings, one per model, which change when its answers do.

    Raises:
      InputError: if classes differ, naming the first, or weights do not fit the model.
    """

    columns = ()

    def __init__(self, runs, scales, top_k, devices, taus=None):
        networks.check_classes(runs)
        self._devices, taus = devices, taus or [0.0] * len(runs)
        with devices.scope():
            self._networks = [adjust.adjusted(networks.of_run(run, scales), run, tau)
                              for run, tau in zip(runs, taus, strict=True)]
        self._views = list(dict.fromkeys(network.view for network in self._networks))
        self._names = np.array(runs[0].class_names, object)
        self.top_k = min(top_k, len(self._names))
        self.voting = len(runs) > 1
        self.fingerprints = [
            f'{networks.fingerprint(run, network)} {tau:g}'
            for run, network, tau in zip(runs, self._networks, taus, strict=True)]

    def answers(self, examples, batch_size, bad, start=0):
        """Yields `Answers` for every image from `start` on, in order; see `forward.over`."""
        for found in forward.over(examples, self._views, self._best, self._devices, batch_size, bad,
                                  start):
            yield Answers(found['good'], self._names[found['ids']], found['scores'],
                          found['votes'] if self.voting else None)

    def _best(self, batch):
        """{'ids', 'scores', 'votes'} of a `pipeline.Batch`, `[n, k]` each."""
        probabilities = tf.stack([
            tf.nn.softmax(network.outputs(batch.crops[self._views.index(network.view)])[1])
            for network in self._networks])
        ids = tf.math.top_k(ensemble.ranking(probabilities), self.top_k).indices
        mean = tf.reduce_mean(probabilities, axis=0)
        return {'ids': ids, 'scores': tf.gather(mean, ids, batch_dims=1),
                'votes': tf.gather(ensemble.votes(probabilities), ids, batch_dims=1)}


class SavedModel:
    """Predicts by a SavedModel whose signature `serving_default` takes the bytes of image files.

    Input `image_bytes`: string `[n]`. Outputs `class_names`, `class_ids` and `scores`, and `votes`
    for an ensemble, `[n, k]` each.

    Args:
      path: its folder, or a folder of numbered versions, of which the highest is used.
      top_k: classes per image; all, if the model gives fewer.

    Attributes:
      top_k, voting, columns, fingerprints: as those of `Runs`.
      path: pathlib.Path of the version that is used.

    Raises:
      InputError: if there is no such model or its signature is another one.
    """

    columns = ()

    def __init__(self, path, top_k):
        self.path = _version(path)
        try:
            self._model = tf.saved_model.load(str(self.path))  # kept, as it owns the variables
            self._signature = self._model.signatures['serving_default']
            found = set(self._signature.structured_input_signature[1])
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise InputError(f'{self.path}: {error}; expected a SavedModel with the signature '
                             'serving_default.') from error
        outputs = self._signature.structured_outputs
        if found != {'image_bytes'} or not set(_OUTPUTS) <= set(outputs):
            raise InputError(f'{self.path}: takes {sorted(found)} and gives {sorted(outputs)}; '
                             f'expected image_bytes and {", ".join(_OUTPUTS)}.')
        self.voting = 'votes' in outputs
        tried = self.call([tf.io.encode_png(np.zeros([8, 8, 3], np.uint8)).numpy()])
        self.top_k = min(top_k, tried['scores'].shape[1])
        self.fingerprints = [digest(sorted(p for p in self.path.rglob('*') if p.is_file()))]

    def answers(self, examples, batch_size, bad, start=0):
        """Yields `Answers` for every image from `start` on, in order.

        If the model refuses a batch because of bad images, it is called again without them.

        Raises:
          InputError: if an image is bad and `bad` says to stop.
          StorageError: if the place of the images does not answer.
          RunError: if the model fails on good images.
        """
        encoded = dataclasses.replace(examples, images=None, paths=None, root='',
                                      records=_records(examples))
        numbers = tf.data.Dataset.range(start, len(examples)).batch(batch_size).map(lambda i: (i,))
        with bad.raising():
            for indices, data in loading.finished(loading.read(numbers, encoded, batch_size)):
                yield self._answers(encoded, indices.numpy(), data.numpy(), bad)

    def _answers(self, examples, indices, data, bad):
        good = np.ones(len(indices), bool)
        try:
            found = self.call(data)
        except tf.errors.OpError:
            good = np.array([bad.leave_out(examples, index) for index in indices])
            found = self._without_bad(examples, indices, data, good)
        else:  # a model may answer a bad image with empty names
            for i in np.flatnonzero(found['class_names'][:, 0] == b''):
                good[i] = bad.leave_out(examples, indices[i])
                if good[i]:
                    raise RunError(f'{self.path}: no answer to {examples.name(indices[i])}, which '
                                   'is a good image; expected one.')
        return Answers(good, found['class_names'], found['scores'],
                       found['votes'] if self.voting else None)

    def _without_bad(self, examples, indices, data, good):
        try:
            found = self.call(data[good]) if good.any() else None
        except tf.errors.OpError as error:
            first = examples.name(indices[good][0])
            raise RunError(f'{self.path}: {error.message}, though {first} and the {good.sum() - 1}'
                           ' other images of the batch are good.') from error
        whole = {'class_names': np.full([len(good), self.top_k], b'', object),
                 'scores': np.zeros([len(good), self.top_k]),
                 'votes': np.zeros([len(good), self.top_k], int)}
        for name, values in (found or {}).items():
            whole[name][good] = values
        return whole

    def call(self, data):
        """Dict of arrays `[n, k]`: 'class_names', bytes; 'scores'; of an ensemble also 'votes'.

        Args:
          data: list of n image files' bytes.

        Raises:
          tf.errors.OpError: if the model refuses an image.
        """
        found = self._signature(image_bytes=tf.constant(data))
        names = ('class_names', 'scores', *(['votes'] if self.voting else []))
        return {name: found[name].numpy()[:, :getattr(self, 'top_k', None)] for name in names}


def _records(examples):
    """Encoded images of any `Examples`; images in memory are encoded as PNG, which is lossless."""
    if examples.images is None:
        return records.of(examples)
    return records.Records(given.Encoded(examples.images), records.names(examples))


def _version(path):
    path = pathlib.Path(path)
    if (path / 'saved_model.pb').exists():
        return path
    versions = [p for p in path.iterdir() if p.name.isdecimal()] if path.is_dir() else []
    if not versions:
        raise InputError(f'predict.model: {path} holds no saved_model.pb and no numbered version; '
                         'expected the folder of a SavedModel.')
    return max(versions, key=lambda p: int(p.name))


def digest(paths):
    """Hex digest of the bytes of files."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, 'rb') as file:
            digest.update(hashlib.file_digest(file, 'sha256').digest())
    return digest.hexdigest()
