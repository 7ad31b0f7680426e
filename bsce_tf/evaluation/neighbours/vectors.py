"""From the crops of an image to its vector in an index."""

import numpy as np
import tensorflow as tf

from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, networks, predictors
from bsce_tf.training import workdir


class Embedder:
    """Vectors and probabilities of images, by one pass through trained runs.

    The features of a run (`model.features`) are averaged over all test scales and scaled to length
    1. Those of R runs are joined and divided by √R, so the cosine of two images is the mean of the
    runs' cosines.

    Args:
      runs: list of `workdir.Run`, of the same classes.
      scales: test scales, see `networks.of_run`.
      devices: tf.distribute.Strategy.
      taus: τ of each run, see `adjust`; it changes the probabilities alone. None: 0.

    Attributes:
      class_names: of the runs.
      views: list of `View`, for `forward.over`.
      width: numbers of a vector.
      fingerprints: list of strings, one per run, which change when its vectors do.
      accepted: list of tuples, one per run: its fingerprint, and that of earlier versions.
    """

    def __init__(self, runs, scales, devices, taus=None):
        networks.check_classes(runs)
        taus = taus or [0.0] * len(runs)
        with devices.scope():
            self.networks = [adjust.adjusted(networks.of_run(run, scales), run, tau)
                             for run, tau in zip(runs, taus, strict=True)]
        self.devices, self.class_names = devices, runs[0].class_names
        self.views = list(dict.fromkeys(network.view for network in self.networks))
        self.width = sum(network.body.output.shape[-1] for network in self.networks)
        self.accepted = accepted(runs, self.networks)
        self.fingerprints = [newest for newest, _ in self.accepted]

    def compute(self, batch):
        """{'vectors' float32 `[n, width]`, 'probabilities' float32 `[n, K]`} of a `pipeline.Batch`.

        The probabilities are the mean over the runs.
        """
        outputs = [network.outputs(batch.crops[self.views.index(network.view)])
                   for network in self.networks]
        return {'vectors': joined([features for features, _ in outputs]),
                'probabilities': tf.reduce_mean(tf.stack(
                    [tf.nn.softmax(logits) for _, logits in outputs]), axis=0)}

    def vectors(self, batch):
        """`compute` without the probabilities."""
        return {'vectors': self.compute(batch)['vectors']}


def accepted(runs, made):
    """The fingerprints that an index of runs may name: for each, its own and its earlier one.

    Earlier versions took the whole config.json, which changes when a run is resumed with another
    `report.pairs`.

    Args:
      runs: list of `workdir.Run`.
      made: their `Network`s.

    Returns:
      List of tuples of strings.
    """
    return [(networks.fingerprint(run, network),
             f'{predictors.digest([run.folder / workdir.CONFIG, run.weights])} '
             f'{" ".join(map(str, network.view.scales))}')
            for run, network in zip(runs, made, strict=True)]


def joined(features):
    """float32 `[n, width]` of length 1, from the features of each run, `[n, scales, d]`."""
    parts = [tf.math.l2_normalize(tf.reduce_mean(tf.cast(part, tf.float32), axis=1), axis=1)
             for part in features]
    return tf.concat(parts, axis=1) / np.float32(len(parts) ** 0.5)


def check_finite(vectors, good, examples, first=0):
    """Raises InputError if the vector of a good image is not finite, naming the image."""
    bad = np.flatnonzero(good & ~np.isfinite(vectors).all(axis=1))
    if bad.size:
        raise InputError(f'{examples.name(first + bad[0])}: its features are not finite '
                         f'({bad.size} such images); expected finite ones: is the run damaged?')
