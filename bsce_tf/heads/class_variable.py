"""A variable with an entry per class, of which each replica holds one part (a shard)."""

import contextlib
import functools

import numpy as np
import tensorflow as tf

_AT_ONCE = 2**26  # bytes that a device gathers at a time from the parts of all workers


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
      alone: whether this process holds all parts.
    """

    def __init__(self, classes):
        strategy = tf.distribute.get_strategy()
        self.classes, self.parts = classes, strategy.num_replicas_in_sync
        self.starts = [classes * part // self.parts for part in range(self.parts + 1)]
        self.width = -(-classes // self.parts)
        number = tf.function(lambda: strategy.run(lambda: tf.identity(
            tf.distribute.get_replica_context().replica_id_in_sync_group)), autograph=False)
        numbers = strategy.experimental_local_results(number())
        self.first, self.alone = int(numbers[0]), len(numbers) == self.parts

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
    _whole = None

    def __init__(self, division, value, path):
        self.division, self.path, self.shape = division, path, tuple(value.shape)
        self.name = path.rpartition('/')[2]
        self._strategy = tf.distribute.get_strategy()
        self.value = tf.Variable(
            lambda: tf.zeros([division.width, *self.shape[:-1]]), trainable=False, name=self.name,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.NONE)
        self.local = self._strategy.experimental_local_results(self.value)
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
        """float32 `[…, K]`, in the order of the classes.

        With several workers, all of them must call it, unless they are within `gathered`.
        """
        if self._whole is not None:
            return self._whole
        rows = [variable.numpy() for variable in self.local] if self.division.alone else \
            self._of_all_workers()
        parts = [part[:self.division.size(number)] for number, part in enumerate(rows)]
        return np.moveaxis(parts[0] if len(parts) == 1 else np.concatenate(parts), 0, -1)

    def _of_all_workers(self):
        """float32 `[parts, width, …]`; a device gathers `_AT_ONCE` bytes at a time."""
        shape = [self.division.parts, self.division.width, *self.shape[:-1]]
        found = np.empty(shape, np.float32)
        number = min(max(_AT_ONCE * shape[1] // found.nbytes, 1), shape[1])
        for start in range(0, shape[1], number):
            start = min(start, shape[1] - number)  # so that all pieces have one size
            piece = self._gathered(tf.constant(start), number)
            found[:, start:start + number] = np.reshape(piece, [shape[0], number, *shape[2:]])
        return found

    @functools.cached_property
    def _gathered(self):
        """Function of (start, number): these rows of all parts, `[parts · number, …]`."""
        strategy = self._strategy

        def of_replica(start, number):
            rows = tf.convert_to_tensor(self.value)[start:start + number]
            return tf.distribute.get_replica_context().all_gather(rows, axis=0)

        return tf.function(lambda *rows: strategy.experimental_local_results(
            strategy.run(of_replica, rows))[0], autograph=False)


@contextlib.contextmanager
def gathered(variables):
    """Context manager, for all workers: within it, `numpy` of these needs no other worker.

    Args:
      variables: list of variables; those that are no `ClassVariable` of several workers are
        skipped.
    """
    held = [v for v in variables if isinstance(v, ClassVariable) and not v.division.alone]
    try:
        for variable in held:
            variable._whole = variable.numpy()
        yield
    finally:
        for variable in held:
            variable._whole = None
