"""The data sets of a stage: training, validation, and sets to watch."""

import tensorflow as tf

from bsce_tf import losses
from bsce_tf.data import pipeline, view
from bsce_tf.data.images import augment
from bsce_tf.data.sampler import Sampler
from bsce_tf.training import strategy

_STAGE_SEEDS = 1_000_003  # a prime: stages draw their own images and crops


class Batches:
    """Batches of a stage, each shared over all replicas.

    Args:
      config: ConfigDict of the stage.
      number: of the stage.
      data: `examples.Splits` with a validation set.
      watch: {name: `Examples`} of further sets.
      devices: tf.distribute.Strategy.
      bad: a `BadImages`; put `bad.raising()` around what runs the batches.

    Attributes:
      epoch_steps: steps of an epoch.
      view: the `View` of validation.
      validation: distributed data set of `pipeline.Batch`.
      watched: {name: the same of a set to watch}.
    """

    def __init__(self, config, number, data, watch, devices, bad):
        self._config, self._examples, self._devices, self._bad = config, data.train, devices, bad
        self._seed = (config.seed + _STAGE_SEEDS * number) % 2**31
        self._sampler = Sampler(data.train.labels, data.train.num_classes, self._seed,
                                config.sampler.gamma, config.sampler.cap)
        self._view = view.of(config.image, data.train.channels)
        self.epoch_steps = config.steps or max(self._sampler.epoch_size // config.batch_size, 1)
        self.view = self._view.at((config.image.eval_scale,))
        self.validation = self._evaluated(data.validation)
        self.watched = {name: self._evaluated(examples) for name, examples in watch.items()}

    def training(self, start):
        """Distributed data set of the batches of the stage from a step on, without end."""
        return strategy.distribute(self._devices, lambda shard: pipeline.training(
            self._examples, self._sampler, self._view, batch_size=self._config.batch_size,
            augmentation=augment.Augmentation(**self._config.augment), seed=self._seed,
            start=start, shard=shard, bad=self._bad,
            numbered=losses.row(self._config.loss.name).numbered))

    def names(self, step):
        """Names of the images of a training batch."""
        size = self._config.batch_size
        positions = tf.range(size, dtype=tf.int64) + step * size
        return [self._examples.name(i) for i in self._sampler(positions).numpy()]

    def _evaluated(self, examples):
        return strategy.distribute(self._devices, lambda shard: pipeline.evaluation(
            examples, [self.view], self._config.batch_size, self._bad, shard=shard,
            full=self._devices.num_replicas_in_sync > 1))
