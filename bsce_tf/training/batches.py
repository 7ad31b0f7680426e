"""The data sets of a stage: training, validation, and extra sets to evaluate."""

import tensorflow as tf

from bsce_tf import losses
from bsce_tf.data import pipeline, view
from bsce_tf.data.images import augment
from bsce_tf.data.sampler import Sampler
from bsce_tf.training import stages, strategy

_STAGE_SEEDS = 1_000_003  # a prime; every stage draws other images and crops


class Batches:
    """Batches of a stage, each split over all replicas.

    Args:
      config: ConfigDict of the stage.
      number: of the stage, from 0.
      data: `examples.Splits` with a validation set.
      watch: {name: `Examples`} of extra sets to evaluate.
      devices: tf.distribute.Strategy.
      bad: a `BadImages`; iterate over the batches within `bad.raising()`.

    Attributes:
      epoch_steps: steps of an epoch.
      view: the `View` of validation.
      validation: distributed data set of `pipeline.Batch`.
      watched: {name: such a data set} for `watch`.
    """

    def __init__(self, config, number, data, watch, devices, bad):
        self._config, self._examples, self._devices, self._bad = config, data.train, devices, bad
        self._seed = (config.seed + _STAGE_SEEDS * number) % 2**31
        self._sampler = Sampler(data.train.labels, data.train.num_classes, self._seed,
                                config.sampler.gamma, config.sampler.cap)
        self._view = view.of(config.image, data.train.channels)
        self.epoch_steps = stages.epoch_steps(config, self._sampler.epoch_size)
        self.view = self._view.at((config.image.eval_scale,))
        self.validation = self._evaluated(data.validation)
        self.watched = {name: self._evaluated(examples) for name, examples in watch.items()}

    def training(self, start):
        """Endless distributed data set of the stage's batches, from step `start` on."""
        return strategy.distribute(self._devices, lambda shard: pipeline.training(
            self._examples, self._sampler, self._view, batch_size=self._config.batch_size,
            augmentation=augment.Augmentation(**self._config.augment), seed=self._seed,
            start=start, shard=shard, bad=self._bad,
            numbered=losses.row(self._config.loss.name).numbered))

    def names(self, step):
        """Names of the images in the training batch of a step."""
        size = self._config.batch_size
        positions = tf.range(size, dtype=tf.int64) + step * size
        return [self._examples.name(i) for i in self._sampler(positions).numpy()]

    def _evaluated(self, examples):
        return strategy.distribute(self._devices, lambda shard: pipeline.evaluation(
            examples, [self.view], self._config.batch_size, self._bad, shard=shard,
            full=self._devices.num_replicas_in_sync > 1))
