"""A variable of all classes, of which each replica holds the part of its own classes."""

import numpy as np
import tensorflow as tf


class Division:
    """Classes 0 … K−1 in as many parts as the strategy has replicas, in order, nearly alike.

    Make it within the strategy's scope.

    Args:
      classes: K, at least as many as replicas.

    Attributes:
      parts: how many.
      width: places of a part; some parts leave the last one empty.
      first: number of the first part in this process.
    """

    def __init__(self, classes):
        strategy = tf.distribute.get_strategy()
        self.classes, self.parts = classes, strategy.num_replicas_in_sync
        self.starts = [classes * part // self.parts for part in range(self.parts + 1)]
        self.width = -(-classes // self.parts)
        local = len(strategy.extended.worker_devices)
        cluster = getattr(strategy, 'cluster_resolver', None)
        worker = cluster.task_id if cluster and self.parts > local else 0
        self.first = worker * local

    def variable(self, value, path):
        """A `ClassVariable` that is divided so."""
        return ClassVariable(self, value, path)

    def size(self, part):
        """Classes of a part."""
        return self.starts[part + 1] - self.starts[part]


class ClassVariable:
    """Looks like a `keras.Variable` `[…, K]`; lies as `[width, …]` on each replica.

    Args:
      division: a `Division`.
      value: array `[…, K]`, float32.
      path: as of a Keras variable.

    Attributes:
      value: TensorFlow's variable of all replicas.
      local: tuple of the variables of this process's replicas, `[width, …]` each.
    """

    dtype, trainable = 'float32', False  # by Keras's optimizers

    def __init__(self, division, value, path):
        self.division, self.path, self.shape = division, path, tuple(value.shape)
        self.name = path.rpartition('/')[2]
        strategy = tf.distribute.get_strategy()
        self.value = tf.Variable(
            lambda: tf.zeros([division.width, *self.shape[:-1]]), trainable=False, name=self.name,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.NONE)
        self.local = strategy.experimental_local_results(self.value)
        self.assign(value)

    def like(self, value, path):
        """Another one, divided alike."""
        return ClassVariable(self.division, value, path)

    def assign(self, value):
        """Sets all parts that are here from an array `[…, K]`."""
        rows = np.moveaxis(np.asarray(value, np.float32), -1, 0)
        if np.shape(value) != self.shape:
            raise ValueError(f'{self.path}: found shape {np.shape(value)}; expected {self.shape}.')
        for number, variable in enumerate(self.local, self.division.first):
            start, end = self.division.starts[number:number + 2]
            part = np.zeros(variable.shape, np.float32)
            part[:end - start] = rows[start:end]
            variable.assign(part)

    def numpy(self):
        """float32 `[…, K]`, classes in order."""
        parts = [variable.numpy()[:self.division.size(number)]
                 for number, variable in enumerate(self.local, self.division.first)]
        return np.moveaxis(parts[0] if len(parts) == 1 else np.concatenate(parts), 0, -1)
