"""A variable with an entry per class, of which each replica holds one part (a shard)."""

import numpy as np
import tensorflow as tf


class Division:
    """Divides classes 0 … K−1, in order, into one part per replica; sizes differ by 1 at most.

    Make it within the strategy's scope.

    Args:
      classes: K, at least the number of replicas.

    Attributes:
      parts: number of parts.
      starts: first class of each part, and K at the end.
      width: size of the largest part. Smaller parts have one unused row at the end.
      first: index of the first part in this process.
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
        """A `ClassVariable` with this division."""
        return ClassVariable(self, value, path)

    def size(self, part):
        """Number of classes in a part."""
        return self.starts[part + 1] - self.starts[part]


class ClassVariable:
    """Acts like a `keras.Variable` `[…, K]`, but is stored as `[width, …]` on each replica.

    Args:
      division: a `Division`.
      value: array `[…, K]`, float32.
      path: like the path of a Keras variable.

    Attributes:
      value: the `tf.Variable` over all replicas.
      local: tuple of this process's parts, variables `[width, …]`.
    """

    dtype, trainable = 'float32', False  # Keras's optimizers must not train it

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
        """Another `ClassVariable` with the same division."""
        return self.division.variable(value, path)

    def assign(self, value):
        """Sets the parts in this process from an array `[…, K]`."""
        rows = np.moveaxis(np.asarray(value, np.float32), -1, 0)
        if np.shape(value) != self.shape:
            raise ValueError(f'{self.path}: found shape {np.shape(value)}; expected {self.shape}.')
        for number, variable in enumerate(self.local, self.division.first):
            start, end = self.division.starts[number:number + 2]
            part = np.zeros(variable.shape, np.float32)
            part[:end - start] = rows[start:end]
            variable.assign(part)

    def numpy(self):
        """float32 `[…, K]`, in the order of the classes."""
        parts = [variable.numpy()[:self.division.size(number)]
                 for number, variable in enumerate(self.local, self.division.first)]
        return np.moveaxis(parts[0] if len(parts) == 1 else np.concatenate(parts), 0, -1)
