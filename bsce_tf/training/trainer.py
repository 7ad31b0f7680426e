"""One training step and one evaluation, over all replicas of a strategy.

Written out instead of Keras's `fit`, because several things lie between the parts of a step:
gradients are summed over the replicas before they are clipped or tested for overflow, so any number
of replicas gives the same run; images that only fill up a batch count nowhere; and workers agree on
when to save and when to stop by two numbers that travel with the loss. Keras 3's `fit` does not
work with MultiWorkerMirroredStrategy (keras issue 20585).
"""

import math

import keras
import tensorflow as tf

from bsce_tf import metrics
from bsce_tf.models import network


class Trainer:
    """Functions of a model, an optimizer and a loss. Make it within the strategy's scope.

    Args:
      model: as `models.classifier.build` makes it.
      view: the `View` of evaluation.
      optimizer: an `optimizers.SGD`, or a LossScaleOptimizer of one.
      loss: keras Loss whose `call` gives a loss an example; what it remembers is its `state`.
      batch_size: global.
      jit_compile: whether XLA compiles the forward and the backward pass.
      ema: an `averaging.Ema` or None.
      accumulate: steps whose mean gradient makes one update.
      head: a `heads.divided.DividedHead`, where the model's head is in parts or sampled; or None.

    Attributes:
      sums: variables of the gradients that are accumulated; may be infinite with a scaled loss.
      loss_mean, error: `keras.metrics.Mean` and `MeanTop1Error` of the steps since `reset`.
      val_loss, val_error: the same of the last evaluation.
    """

    def __init__(self, model, view, optimizer, loss, batch_size, *, jit_compile=False, ema=None,
                 accumulate=1, head=None):
        self.model, self.optimizer, self.loss, self.ema = model, optimizer, loss, ema
        self.network = network.of(model, view)
        self.head, self.body = head, model if head is None else head.body
        self.strategy = tf.distribute.get_strategy()
        self.batch_size = batch_size
        self.loss_mean, self.val_loss = keras.metrics.Mean(), keras.metrics.Mean()
        self.error, self.val_error = (metrics.MeanTop1Error(model.output.shape[-1])
                                      for _ in range(2))
        optimizer.build(model.trainable_variables)
        self.accumulate = accumulate
        self.sums = [keras.Variable(tf.zeros(v.shape, v.dtype), trainable=False, name=f'sum_{i}')
                     for i, v in enumerate(model.trainable_variables)] if accumulate > 1 else []
        gradients = self._gradients
        if jit_compile:  # only then: BatchNorm cannot cross replicas in a function of its own
            gradients = tf.function(gradients, jit_compile=True, autograph=False)

        self._gradients_of = gradients
        self._step = tf.function(lambda *step: self._whole_step(*step, update=True),
                                 reduce_retracing=True, autograph=False)
        self._part = tf.function(lambda *step: self._whole_step(*step, update=False),
                                 reduce_retracing=True, autograph=False)
        self._test = tf.function(
            lambda batch: self.strategy.run(self._replica_test, (batch,)),
            reduce_retracing=True, autograph=False)

    @property
    def variables(self):
        """All that a step changes, in a fixed order."""
        ema = self.ema.variables if self.ema is not None else []
        of_optimizer = list(self.optimizer.variables)
        if self.head is not None:  # where Keras would have the momentum of its class vectors
            place = len(of_optimizer) - len(self.head.layer.trainable_variables)
            of_optimizer[place:place] = self.head.momentums
        return [*self.model.variables, *of_optimizer, *ema, *self.sums,
                *self.loss_mean.variables, *self.error.variables, *getattr(self.loss, 'state', [])]

    def train_step(self, batch, number=0, save=False, stop=False):
        """One step.

        Args:
          batch: images and labels of all replicas, and their numbers if the loss takes them.
          number: of the step, from 0; tells when gradients that accumulate make an update.
          save, stop: what this worker wants; every worker learns whether one wants it.

        Returns:
          (mean loss of the batch, save, stop).
        """
        flags = tf.constant([float(save), float(stop)])
        step = self._step if (number + 1) % self.accumulate == 0 else self._part
        loss, save, stop = step(batch, flags, tf.constant(number, tf.int64)).numpy().tolist()
        return loss, save > 0, stop > 0

    def reset(self):
        """Begins to count the metrics of an epoch."""
        self.loss_mean.reset_state()
        self.error.reset_state()

    def results(self):
        """{'loss', 'mean_top1_error'} of the steps since `reset`; a sampled head has no error."""
        counted = self.head is None or self.head.share == 1
        return {'loss': float(self.loss_mean.result()),
                'mean_top1_error': float(self.error.result()) if counted else math.nan}

    def evaluate(self, batches, tell=None):
        """{'val_loss', 'val_mean_top1_error'} of all images of a distributed data set.

        Args:
          batches: the data set, of `pipeline.Batch`.
          tell: function that is called with 1, 2, … after each batch.
        """
        self.val_loss.reset_state()
        self.val_error.reset_state()
        for number, batch in enumerate(batches, 1):
            self._test(batch)
            if tell is not None:
                tell(number)
        return {'val_loss': float(self.val_loss.result()),
                'val_mean_top1_error': float(self.val_error.result())}

    def _whole_step(self, batch, flags, number, update):
        """Sum over the replicas of [loss, *flags]; without `update` gradients are only added up."""
        extended = self.strategy.extended

        def of_replica(flags, images, labels, *numbers):
            if self.head is None:
                losses, logits, grads = self._gradients_of(images, labels, *numbers)
            else:
                losses, logits, grads, *of_head = self._gradients_in_parts(images, labels, number)
            grads = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM,
                                                                   grads)
            if update:
                if self.sums:
                    grads = [(g + s.value) / self.accumulate
                             for g, s in zip(grads, self.sums, strict=True)]
                if self.head is not None:
                    grads = self.head.update(grads, *of_head)
                self.optimizer.apply(grads, self.model.trainable_variables)
            self.loss_mean.update_state(losses)
            if self.head is None:
                self.error.update_state(labels, logits)
            elif logits is not None:
                self.error.count(labels, logits)
            return tf.concat([tf.reduce_sum(losses)[None] / self.batch_size, flags], 0), grads

        found, grads = self.strategy.run(of_replica, (flags, *batch))
        for part, grad in zip(self.sums, grads, strict=False):
            if update:
                extended.update(part.value, lambda v: v.assign(tf.zeros_like(v)))
            else:
                extended.update(part.value, lambda v, g: v.assign_add(g), args=(grad,))
        if update and self.ema is not None:
            self.ema.update()
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)

    def _gradients_in_parts(self, images, labels, number):
        """`_gradients` with hits for logits; and of the head's rows gradients and ids."""
        with tf.GradientTape() as tape:
            features = self.body(images, training=True)
            own = self.body.losses  # at once: where replicas meet, another one's may replace them
            losses, hits, rows, chosen = self.head.train(features, labels, number, tape)
            scaled = self._scaled(losses, own)
        grads = self._derivatives(tape, scaled, rows)
        return losses, hits, grads[:-len(rows)], grads[-len(rows):], chosen

    def _gradients(self, images, labels, *numbers):
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            own = self.model.losses
            losses = self.loss.call(labels, logits, *numbers)
            scaled = self._scaled(losses, own)
        return losses, logits, self._derivatives(tape, scaled)

    def _scaled(self, losses, own):
        """This replica's part of the loss of the batch, as the optimizer wants it.

        Args:
          losses: `[n]`, of the images.
          own: list of the losses of the model's layers.
        """
        total = tf.reduce_sum(losses) / self.batch_size
        if own:
            total += tf.add_n(own) / self.strategy.num_replicas_in_sync
        return self.optimizer.scale_loss(total)

    def _derivatives(self, tape, scaled, rows=()):
        """By the model's variables, and by rows of a head in parts."""
        variables = [*self.model.trainable_variables, *rows]
        # None where a variable counts for nothing, as the mask token of DINOv2.
        return [tf.zeros(v.shape, v.dtype) if gradient is None else gradient
                for gradient, v in zip(tape.gradient(scaled, variables), variables, strict=True)]

    def _replica_test(self, batch):
        if self.head is not None:
            features = self.body(batch.crops[0][:, 0], training=False)
            losses, hits = self.head.test(features, batch.labels)
            self.val_loss.update_state(losses, sample_weight=batch.weights)
            self.val_error.count(batch.labels, hits, batch.weights)
            return
        _, logits = self.network.outputs(batch.crops[0])
        losses = self.loss.call(batch.labels, logits)
        self.val_loss.update_state(losses, sample_weight=batch.weights)
        self.val_error.update_state(batch.labels, logits, sample_weight=batch.weights)
