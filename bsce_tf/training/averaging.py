"""Averages of weights over time: exponential (EMA), and over the last epochs (SWA)."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from bsce_tf import internals


def averaged_variables(model):
    """The variables that are averaged: weights and BatchNorm statistics, no random seeds."""
    return [v for v in model.variables if keras.backend.is_float_dtype(v.dtype)]


class Ema:
    """Exponential moving average of a model, BatchNorm's statistics included.

    After step t = 0, 1, …: average ← d·average + (1 − d)·weights with d = min(decay, (1 + t) /
    (10 + t)), so that the random initial weights soon lose their influence (as in
    `tf.train.ExponentialMovingAverage` with `num_updates`). Make it within the strategy's scope.

    Args:
      model: built.
      decay: above 0, below 1.
    """

    def __init__(self, model, decay):
        self._decay = decay
        self._sources = averaged_variables(model)
        self._steps = keras.Variable(0.0, trainable=False, dtype='float32', name='ema_steps')
        self._averages = [_like(v, f'ema_{i}') for i, v in enumerate(self._sources)]
        self.variables = [self._steps, *self._averages]

    def update(self):
        """Updates the average after a step. Call it in the cross-replica context."""
        extended = tf.distribute.get_strategy().extended
        steps = self._steps.value
        decay = tf.minimum(self._decay, (1.0 + steps) / (10.0 + steps))
        for average, source in zip(self._averages, self._sources, strict=True):
            extended.update(average.value, _move, args=(source.value, decay))
        extended.update(steps, lambda value: value.assign_add(1.0))

    def values(self):
        """The averages, in the order of `averaged_variables`."""
        return [v.numpy() for v in self._averages]


def _like(variable, name):
    if not isinstance(variable, keras.Variable):  # a `ClassVariable` of a head in parts
        return variable.like(variable.numpy(), name)
    return keras.Variable(variable.numpy(), trainable=False, dtype=variable.dtype, name=name)


def _move(average, source, decay):
    average.assign_sub((1 - tf.cast(decay, average.dtype)) * (average - source))


class Swa:
    """Mean of the weights at the ends of epochs (Izmailov et al. 2018, section 3.1).

    Attributes:
      count: number of epochs averaged.
      values: list of float32 arrays in the order of `averaged_variables`; empty if count is 0.
    """

    def __init__(self):
        self.count, self.values = 0, []

    def add(self, model):
        """Adds the model's current weights to the average."""
        found = [v.numpy().astype(np.float32) for v in averaged_variables(model)]
        self.count += 1
        self.values = [old + (new - old) / self.count
                       for old, new in zip(self.values or found, found, strict=True)]


@contextlib.contextmanager
def swapped(model, values):
    """Context manager: the model has the averaged values within the block only."""
    variables = averaged_variables(model)
    own = [v.numpy() for v in variables]
    try:
        _assign(variables, values)
        yield
    finally:
        _assign(variables, own)


class Statistics:
    """Replaces the moving statistics of BatchNorm layers by their means over training batches.

    Averaged weights need this because their statistics are not the average of the statistics
    (Izmailov et al. 2018, section 3.2). Moving statistics also lag behind weights that change fast.
    Frozen layers keep their statistics. Make and use it within the strategy's scope.

    Args:
      model: built; `estimate` changes its BatchNorm statistics.
    """

    def __init__(self, model):
        self._norms = [layer for layer in internals.all_layers(model)
                       if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]
        strategy = tf.distribute.get_strategy()

        @tf.function(autograph=False, reduce_retracing=True)
        def forward(images, kept):
            with self._momentum(kept):
                strategy.run(lambda part: model(part, training=True), (images,))

        self._forward = forward

    def estimate(self, batches, count):
        """Sets the statistics to their means over the first `count` batches.

        Args:
          batches: iterable of distributed (images, labels, …).
          count: at least 1.
        """
        if not self._norms:
            return
        for number, (images, *_) in enumerate(batches):
            if number == count:
                break
            # This momentum gives every batch the same weight in the mean.
            self._forward(images, tf.constant(number / (number + 1), tf.float32))

    @contextlib.contextmanager
    def _momentum(self, value):
        own = [layer.momentum for layer in self._norms]
        try:
            for layer in self._norms:
                layer.momentum = value
            yield
        finally:
            for layer, momentum in zip(self._norms, own, strict=True):
                layer.momentum = momentum


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
