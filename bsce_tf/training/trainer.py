"""One training step and one evaluation, over all replicas of a strategy.

It replaces Keras's `fit` for four reasons. Gradients are summed over the replicas before they are
clipped or tested for overflow, so that any number of replicas gives the same run. Images that only
pad a batch do not count in loss and metric. Workers agree on when to save and stop by two flags
that are summed together with the loss. Keras 3's `fit` does not work with
MultiWorkerMirroredStrategy (keras issue 20585).
"""

import math

import keras
import tensorflow as tf

from bsce_tf import metrics
from bsce_tf.models import network


class Trainer:
    """Training steps and evaluation of a model. Make it within the strategy's scope.

    Args:
      model: as `models.classifier.build` makes it.
      view: the `View` of evaluation.
      optimizer: an `optimizers.SGD`, or a LossScaleOptimizer of one.
      loss: keras Loss whose `call` returns `[n]`. Variables that it updates are its `state`.
      batch_size: global.
      jit_compile: whether XLA compiles the forward and the backward pass.
      ema: an `averaging.Ema` or None.
      accumulate: number of steps whose gradients are averaged for one update.
      head: a `heads.divided.DividedHead` if the model's head is in parts or sampled; else None.

    Attributes:
      sums: variables of accumulated gradients; they may be infinite if the loss is scaled.
      loss_sum, loss_count: variables, the sum of the losses of the images since `reset`, and their
        number. Of all replicas together: a sum kept by each replica for itself could not be split
        again when a run resumes, and the last digits of the mean would change.
      error: `MeanTop1Error` of the steps since `reset`; its counts are whole numbers.
      val_loss, val_error: the same metrics of the last evaluation.
    """

    def __init__(self, model, view, optimizer, loss, batch_size, *, jit_compile=False, ema=None,
                 accumulate=1, head=None):
        self.model, self.optimizer, self.loss, self.ema = model, optimizer, loss, ema
        self.network = network.of(model, view)
        self.head, self.body = head, model if head is None else head.body
        self.strategy = tf.distribute.get_strategy()
        self.batch_size = batch_size
        self.val_loss = keras.metrics.Mean()
        self.loss_sum, self.loss_count = (keras.Variable(0.0, trainable=False, dtype='float32',
                                                         name=name)
                                          for name in ('loss_sum', 'loss_count'))
        self.error, self.val_error = (metrics.MeanTop1Error(model.output.shape[-1])
                                      for _ in range(2))
        optimizer.build(model.trainable_variables)
        self.accumulate = accumulate
        self.sums = [keras.Variable(tf.zeros(v.shape, v.dtype), trainable=False, name=f'sum_{i}')
                     for i, v in enumerate(model.trainable_variables)] if accumulate > 1 else []
        gradients = self._gradients
        if jit_compile:  # else in the step's graph, where BatchNorm can synchronise
            gradients = tf.function(gradients, jit_compile=True, autograph=False)

        self._gradients_of = gradients
        self._step = tf.function(lambda *step: self._whole_step(*step, update=True),
                                 reduce_retracing=True, autograph=False)
        self._accumulate = tf.function(lambda *step: self._whole_step(*step, update=False),
                                       reduce_retracing=True, autograph=False)
        self._test = tf.function(
            lambda batch: self.strategy.run(self._replica_test, (batch,)),
            reduce_retracing=True, autograph=False)

    @property
    def variables(self):
        """All variables that a step changes, in a fixed order."""
        ema = self.ema.variables if self.ema is not None else []
        of_optimizer = list(self.optimizer.variables)
        if self.head is not None:  # where Keras would keep the momentum of the head's variables
            place = len(of_optimizer) - len(self.head.layer.trainable_variables)
            of_optimizer[place:place] = self.head.momentums
        return [*self.model.variables, *of_optimizer, *ema, *self.sums, self.loss_sum,
                self.loss_count, *self.error.variables, *getattr(self.loss, 'state', [])]

    def train_step(self, batch, number=0, save=False, stop=False):
        """Runs one step.

        Args:
          batch: images and labels of all replicas, and the images' numbers if the loss takes them.
          number: of the step, from 0; decides which steps update the weights, see `accumulate`.
          save, stop: whether this worker asks to save and to stop.

        Returns:
          (mean loss of the batch, save, stop); the flags are true if any worker set them.
        """
        flags = tf.constant([float(save), float(stop)])
        step = self._step if (number + 1) % self.accumulate == 0 else self._accumulate
        loss, save, stop = step(batch, flags, tf.constant(number, tf.int64)).numpy().tolist()
        return loss, save > 0, stop > 0

    def reset(self):
        """Resets the training metrics, for a new epoch."""
        for variable in (self.loss_sum, self.loss_count):
            variable.assign(0.0)
        self.error.reset_state()

    def results(self):
        """{'loss', 'mean_top1_error'} since `reset`; the error is NaN with a sampled head."""
        counted = self.head is None or self.head.share == 1
        return {'loss': float(self.loss_sum.numpy() / self.loss_count.numpy()),
                'mean_top1_error': float(self.error.result()) if counted else math.nan}

    def evaluate(self, batches, on_batch=None):
        """{'val_loss', 'val_mean_top1_error'} over all images of a distributed data set.

        Args:
          batches: the data set, of `pipeline.Batch`.
          on_batch: function that is called with 1, 2, … after each batch.
        """
        self.val_loss.reset_state()
        self.val_error.reset_state()
        for number, batch in enumerate(batches, 1):
            self._test(batch)
            if on_batch is not None:
                on_batch(number)
        return {'val_loss': float(self.val_loss.result()),
                'val_mean_top1_error': float(self.val_error.result())}

    def _whole_step(self, batch, flags, number, update):
        """[loss, *flags], summed over replicas; gradients only accumulate without `update`."""
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
        found = self.strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)
        for variable, value in ((self.loss_sum, found[0] * self.batch_size),
                                (self.loss_count, tf.constant(float(self.batch_size)))):
            extended.update(variable.value, lambda v, x: v.assign_add(x), args=(value,))
        return found

    def _gradients_in_parts(self, images, labels, number):
        """As `_gradients`, but hits for logits; then gradients and ids of the head's rows."""
        with tf.GradientTape() as tape:
            features = self.body(images, training=True)
            own = self.body.losses  # read before collective operations, which may replace them
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
        """This replica's share of the batch's mean loss, scaled if the optimizer scales losses.

        Args:
          losses: `[n]`, of this replica's images.
          own: list of the losses of the model's layers.
        """
        total = tf.reduce_sum(losses) / self.batch_size
        if own:
            total += tf.add_n(own) / self.strategy.num_replicas_in_sync
        return self.optimizer.scale_loss(total)

    def _derivatives(self, tape, scaled, rows=()):
        """Gradients of the model's variables, then of the rows of a head in parts."""
        variables = [*self.model.trainable_variables, *rows]
        # The gradient is None for an unused variable, such as the mask token of DINOv2.
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
