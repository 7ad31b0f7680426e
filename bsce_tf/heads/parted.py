"""A head in parts, and its sample: from features and labels to losses, and the step of its rows.

Features and labels of all replicas are gathered; each replica computes the logits of its own
classes, and a few numbers of each image go round. Derivatives of the gathering are sums over the
replicas, so that a replica has the whole gradient of its rows, and its share of that of the
features.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from bsce_tf.heads import partition, sample


class Parted:
    """The head of a model made with a `division`. Make it within the strategy's scope.

    Args:
      model: as `classifier.build` makes it with a `division`.
      loss: `losses.base.ClassLoss` whose row says `sums`.
      share: of the other classes, above 0 to 1, that a training step computes.
      seed: of the draws.
      optimizer: `optimizers.SGD`, or a LossScaleOptimizer of it; not built.

    Attributes:
      body: Model, images → what the head takes.
      momentums: list of `ClassVariable`, of the kernel and the bias, or empty.
    """

    def __init__(self, model, loss, share, seed, optimizer):
        self.layer, self.loss, self.share, self.seed = model.get_layer('head'), loss, share, seed
        self.body = keras.Model(model.input, self.layer.input)
        self.optimizer = optimizer
        self._rule = getattr(optimizer, 'inner_optimizer', optimizer)
        self.division = self.layer.class_variables[0].division
        self.momentums = [v.like(np.zeros(v.shape, np.float32), f'{v.path}_momentum')
                          for v in self.layer.class_variables] if self._rule.momentum else []

    def train(self, features, labels, step, tape):
        """(losses `[n]`, hits or None, `tensors` that have gradients, ids of their rows or None).

        Of a sample there are no hits: the best of few classes is not the best of all.

        Args:
          features: what `body` gives, `[n, …]`.
          labels: int32 `[n]`.
          step: int64 scalar, for the draw.
          tape: GradientTape, which watches the rows.
        """
        part, local = self._part()
        return self._forward(features, labels, part, local, step, tape)

    def test(self, features, labels):
        """(losses `[n]`, hits `[n]`), by all classes."""
        part, local = self._part()
        return self._forward(features, labels, part, local)[:2]

    def _part(self):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = int(tf.get_static_value(replica))
        place = number - self.division.first
        return number, [v.local[place] for v in self.layer.class_variables]

    def _forward(self, features, labels, part, local, step=None, tape=None):
        count, classes = tf.shape(labels)[0], self.division.classes
        start, end = self.division.starts[part:part + 2]
        x = self._gathered(tf.cast(features, tf.float32))
        ids = self._gathered(tf.cast(labels, tf.int32))
        own = tf.logical_and(ids >= start, ids < end)
        if tape is None or self.share == 1:
            chosen, log_weights = None, np.zeros(self.division.width, np.float32)
            log_weights[end - start:] = -np.inf  # places without a class
            rows, places = [tf.convert_to_tensor(v) for v in local], tf.where(own, ids - start, 0)
        else:
            chosen, log_weights, places = self._sampled(ids, own, start, end, step)
            rows = [tf.gather(v, chosen) for v in local]
        if tape is not None:
            tape.watch(rows)
        logits = self.layer.of_rows(x, *rows)
        vectors = [self._of_part(v, start, end, chosen) for v in self.loss.offsets()]
        weights = self._spread_weights(start, end, chosen, log_weights)
        found = partition.numbers(logits, [log_weights + v for v in vectors], weights, places,
                                  tf.cast(own, tf.float32))
        found = tf.reshape(self._gathered(found), [self.division.parts, -1, found.shape[-1]])
        mine = tf.range(count) + part * count
        found, own_ids = tf.gather(found, mine, axis=1), tf.gather(ids, mine)
        moved = [0.0 if v is None else tf.gather(tf.constant(v, tf.float32), own_ids)
                 for v in self.loss.offsets()]
        ces, log_sum, weighted = partition.together(found, moved)
        losses = self.loss.of_ces(own_ids, ces, classes, self._spread(log_sum, weighted))
        hits = None
        if chosen is None:
            hits = self._hits(logits, start, end, own_ids, mine, losses)
        return losses, hits, rows, chosen

    def _sampled(self, ids, own, start, end, step):
        size = end - start
        number = sample.count(size, self.share)
        drawn = sample.draw(size, number, self.seed + 7919 * start, step)
        given = tf.boolean_mask(ids - start, own)
        chosen, log_weights, places = sample.united(given, drawn, math.log(size / number))
        return chosen, log_weights, tf.scatter_nd(tf.cast(tf.where(own), tf.int32), places,
                                                  tf.shape(ids))

    def _of_part(self, vector, start, end, chosen):
        """Of a vector `[K]` what belongs to the rows of a part; 0 where it is None."""
        if vector is None:
            return 0.0
        part = np.zeros(self.division.width, np.float32)
        part[:end - start] = vector[start:end]
        return tf.constant(part) if chosen is None else tf.gather(tf.constant(part), chosen)

    def _weights(self):
        """`[K]`: what a class's part of label smoothing weighs."""
        found = self.loss.class_weights
        return np.ones(self.division.classes, np.float32) if found is None else found

    def _spread_weights(self, start, end, chosen, log_weights):
        if not self.loss.label_smoothing:
            return None
        return self._of_part(self._weights(), start, end, chosen) * tf.exp(log_weights)

    def _spread(self, log_sum, weighted):
        """Σ w(k)·(log Σ exp z − z(k)) / K, with the prior in z."""
        if not self.loss.label_smoothing:
            return None
        weights, offset = self._weights().astype(np.float64), self.loss.offsets()[0]
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
        return tf.distribute.get_replica_context().all_gather(tensor, axis=0)

    def update(self, grads, of_rows, chosen):
        """One step of SGD of the rows that were computed, and of their momentum alone.

        Weight decay falls on the rows of a step, too: of a sampled head a class that no image of
        the batch has decays in `share` of the steps.

        Args:
          grads: of all other variables, summed over the replicas.
          of_rows: gradients of what `train` gave.
          chosen: ids of these rows, or None for all.

        Returns:
          `grads`, shortened together with those of the head where `clip_norm` asks for it; not
          finite where the head's are not, so that a scaled loss leaves out the whole step.
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
        number = int(tf.get_static_value(
            tf.distribute.get_replica_context().replica_id_in_sync_group)) - self.division.first
        done = []
        for i, (variable, gradient) in enumerate(zip(self.layer.class_variables, gradients,
                                                     strict=True)):
            rows = variable.local[number]
            decays = rule.decay_all or len(variable.shape) > 1
            decay = rule.weight_decay if decays else 0.0
            ids = tf.range(self.division.width) if chosen is None else chosen
            if decay:
                rows.scatter_sub(tf.IndexedSlices(tf.gather(rows, ids) * decay * rate, ids))
            if self.momentums:
                common = {'var': rows.handle, 'accum': self.momentums[i].local[number].handle,
                          'lr': rate, 'grad': gradient, 'momentum': rule.momentum,
                          'use_nesterov': rule.nesterov}
                done.append(tf.raw_ops.ResourceApplyKerasMomentum(**common) if chosen is None else
                            tf.raw_ops.ResourceSparseApplyKerasMomentum(**common, indices=ids))
            else:
                rows.scatter_sub(tf.IndexedSlices(gradient * rate, ids))
        return tf.group(*done) if done else tf.no_op()
