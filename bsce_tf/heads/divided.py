"""Training step of a divided or sampled head.

Every replica gathers the features and labels of all replicas and computes the logits of its own
classes. Then the replicas exchange a few numbers per image, and each computes the losses of its own
images. In the backward pass, a gather becomes a sum over the replicas: each replica gets the full
gradient of its own rows, and of its own images' features.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from bsce_tf.heads import sample, softmax_parts


class DividedHead:
    """Trains and tests a head with a `Division`. Make it within the strategy's scope.

    A row is the class vector or the bias of one class.
    Args:
      model: as `classifier.build` makes it with a `division`.
      loss: `losses.base.ClassLoss` that has `from_ce`.
      share: fraction of the classes that each training step draws besides those of the batch,
        above 0 to 1; 1: all classes.
      seed: of the draws.
      optimizer: `optimizers.SGD`, or a LossScaleOptimizer of it; not built.

    Attributes:
      body: Model, images → input of the head.
      momentums: list of `ClassVariable`, one for each of the head's; empty without momentum.
    """

    def __init__(self, model, loss, share, seed, optimizer):
        self.layer, self.loss, self.share, self.seed = model.get_layer('head'), loss, share, seed
        self.body = keras.Model(model.input, self.layer.input)
        self.optimizer = optimizer
        self._rule = getattr(optimizer, 'inner_optimizer', optimizer)
        self.division = self.layer.class_variables[0].division
        self.momentums = [v.like(np.zeros(v.shape), f'{v.path}_momentum')
                          for v in self.layer.class_variables] if self._rule.momentum else []

    def train(self, features, labels, step, tape):
        """(losses `[n]`, hits, rows, class ids of the rows) of a batch.

        Hits, bool `[n]`, say whether the label is the top class; None for a sampled head, which
        does not compute all classes. Class ids are None for all rows of this part.

        Args:
          features: output of `body`, `[n, …]`.
          labels: int32 `[n]`.
          step: int64 scalar, number of the step, which determines the sample.
          tape: GradientTape, which then watches the rows.
        """
        return self._forward(features, labels, step, tape)

    def test(self, features, labels):
        """(losses `[n]`, hits `[n]`) with all classes; see `train`."""
        return self._forward(features, labels)[:2]

    def _part(self):
        """Index of this replica's part."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return int(tf.get_static_value(replica))

    def _local(self, class_variables):
        """This replica's parts of some variables, `[width, …]` each."""
        return [v.local[self._part() - self.division.first] for v in class_variables]

    def _forward(self, features, labels, step=None, tape=None):
        part, local = self._part(), self._local(self.layer.class_variables)
        count, classes = tf.shape(labels)[0], self.division.classes
        start, end = self.division.starts[part:part + 2]
        x = self._gathered(tf.cast(features, tf.float32))
        ids = self._gathered(tf.cast(labels, tf.int32))
        own = tf.logical_and(ids >= start, ids < end)
        if tape is None or self.share == 1:
            chosen, log_weights = None, np.zeros(self.division.width, np.float32)
            log_weights[end - start:] = -np.inf  # unused rows
            rows, places = [tf.convert_to_tensor(v) for v in local], tf.where(own, ids - start, 0)
        else:
            chosen, log_weights, places = self._sampled(ids, own, start, end, step)
            rows = [tf.gather(v, chosen) for v in local]
        if tape is not None:
            tape.watch(rows)
        logits = self.layer.of_rows(x, *rows)
        vectors = [self._of_part(v, start, end, chosen) for v in self.loss.logit_offsets()]
        weights = self._uniform_weights(start, end, chosen, log_weights)
        found = softmax_parts.statistics(logits, [log_weights + v for v in vectors], weights,
                                         places, tf.cast(own, tf.float32))
        found = tf.reshape(self._gathered(found), [self.division.parts, -1, found.shape[-1]])
        mine = tf.range(count) + part * count
        found, own_ids = tf.gather(found, mine, axis=1), tf.gather(ids, mine)
        moved = [0.0 if v is None else tf.gather(tf.constant(v, tf.float32), own_ids)
                 for v in self.loss.logit_offsets()]
        ces, log_sum, weighted = softmax_parts.combined(found, moved)
        losses = self.loss.from_ce(own_ids, ces, classes, self._uniform(log_sum, weighted))
        hits = None
        if chosen is None:
            hits = self._hits(logits, start, end, own_ids, mine, losses)
        return losses, hits, rows, chosen

    def _sampled(self, ids, own, start, end, step):
        size = end - start
        number = sample.count(size, self.share)
        drawn = sample.draw(size, number, self.seed + 7919 * start, step)
        given = tf.boolean_mask(ids - start, own)
        chosen, log_weights, places = sample.merged(given, drawn, math.log(size / number))
        return chosen, log_weights, tf.scatter_nd(tf.cast(tf.where(own), tf.int32), places,
                                                  tf.shape(ids))

    def _of_part(self, vector, start, end, chosen):
        """Entries of a vector `[K]` for the rows of a part; 0 if the vector is None."""
        if vector is None:
            return 0.0
        part = np.zeros(self.division.width, np.float32)
        part[:end - start] = vector[start:end]
        return tf.constant(part) if chosen is None else tf.gather(tf.constant(part), chosen)

    def _weights(self):
        """`[K]`: weights of the classes in the uniform part of a smoothed label."""
        found = self.loss.class_weights
        return np.ones(self.division.classes, np.float32) if found is None else found

    def _uniform_weights(self, start, end, chosen, log_weights):
        if not self.loss.label_smoothing:
            return None
        return self._of_part(self._weights(), start, end, chosen) * tf.exp(log_weights)

    def _uniform(self, log_sum, weighted):
        """Σ w(k)·(log Σ exp z − z(k)) / K: cross-entropy of a uniform label, z with the prior."""
        if not self.loss.label_smoothing:
            return None
        weights, offset = self._weights().astype(np.float64), self.loss.logit_offsets()[0]
        fixed = 0.0 if offset is None else float(np.sum(weights * offset))
        return (float(weights.sum()) * log_sum - weighted - fixed) / self.division.classes

    def _hits(self, logits, start, end, ids, mine, losses):
        logits = tf.stop_gradient(logits)[:, :end - start]
        best = self._gathered(tf.reduce_max(logits, axis=-1))
        which = self._gathered(tf.argmax(logits, axis=-1, output_type=tf.int32) + start)
        best, which = (tf.gather(tf.reshape(v, [self.division.parts, -1]), mine, axis=1)
                       for v in (best, which))
        which = tf.gather(tf.transpose(which), tf.argmax(best, axis=0), batch_dims=1)
        return tf.logical_and(tf.equal(which, ids), tf.math.is_finite(losses))

    def _gathered(self, tensor):
        if self.division.parts == 1:
            return tensor
        tensor = tf.identity(tensor)  # on this device: several workers cannot gather an input
        return tf.distribute.get_replica_context().all_gather(tensor, axis=0)

    def update(self, grads, of_rows, chosen):
        """One step of SGD for the rows that `train` computed, and for their momentum.

        Weight decay, too, applies to these rows only. So in a sampled head, a class without an
        image in the batch decays in a fraction `share` of the steps.

        Args:
          grads: gradients of all other variables, summed over the replicas.
          of_rows: gradients of the rows.
          chosen: class ids of the rows, from `train`; None for all.

        Returns:
          `grads`, clipped together with the head's gradients if the optimizer clips the global
          norm. With loss scaling they are NaN if the head's are not finite, so that the optimizer
          skips the whole step.
        """
        rule = self._rule
        scale = getattr(self.optimizer, 'dynamic_scale', None)
        scale = 1.0 if scale is None else tf.convert_to_tensor(scale)
        of_rows = [gradient / scale for gradient in of_rows]
        apply = tf.constant(True)
        if rule.global_clipnorm or rule is not self.optimizer:
            squares = tf.add_n([tf.reduce_sum(g * g) for g in of_rows])
            if self.division.parts > 1:
                squares = tf.distribute.get_replica_context().all_reduce('SUM', squares)
            squares += tf.add_n([tf.reduce_sum(tf.square(tf.cast(g, tf.float32) / scale))
                                 for g in grads])
            factor = tf.where(tf.math.is_finite(squares), 1.0, np.nan)
            if rule.global_clipnorm:
                factor *= tf.minimum(1.0, rule.global_clipnorm / tf.sqrt(squares))
            if rule is not self.optimizer:
                apply = tf.math.is_finite(squares)
            grads = [g * tf.cast(factor, g.dtype) for g in grads]
            of_rows = [g * factor for g in of_rows]
        if rule.clipvalue:
            of_rows = [tf.clip_by_value(g, -rule.clipvalue, rule.clipvalue) for g in of_rows]
        tf.cond(apply, lambda: self._step(of_rows, chosen), lambda: tf.no_op())
        return grads

    def _step(self, gradients, chosen):
        rule = self._rule
        rate = tf.convert_to_tensor(rule.learning_rate)
        momentums = self._local(self.momentums)
        ids = tf.range(self.division.width) if chosen is None else chosen
        done = []
        for i, rows in enumerate(self._local(self.layer.class_variables)):
            if rule.weight_decay and (rule.decay_all or len(rows.shape) > 1):
                decayed = tf.gather(rows, ids) * rule.weight_decay * rate
                rows.scatter_sub(tf.IndexedSlices(decayed, ids))
            if momentums:
                common = {'var': rows.handle, 'accum': momentums[i].handle, 'lr': rate,
                          'grad': gradients[i], 'momentum': rule.momentum,
                          'use_nesterov': rule.nesterov}
                done.append(tf.raw_ops.ResourceApplyKerasMomentum(**common) if chosen is None else
                            tf.raw_ops.ResourceSparseApplyKerasMomentum(**common, indices=ids))
            else:
                rows.scatter_sub(tf.IndexedSlices(gradients[i] * rate, ids))
        return tf.group(*done) if done else tf.no_op()
