"""The epochs of a stage: steps, validation, averages, best weights, checkpoints."""

import contextlib
import math
import time

import keras
import numpy as np

from bsce_tf import files
from bsce_tf.errors import PreemptedError, RunError
from bsce_tf.heads import class_variable
from bsce_tf.training import averaging, checkpoint, history, schedule, strategy, workdir

MONITOR = 'val_mean_top1_error'


class Loop:
    """Trains a stage from the position in `state` to its end.

    Args:
      config: ConfigDict of the stage.
      folder: pathlib.Path of the run.
      state: a `State`, which it updates.
      trainer: a `trainer.Trainer`.
      batches: a `batches.Batches`.
      observers: list of `observers.Observer`.
      terminated: a `termination.Terminated`.
    """

    def __init__(self, config, folder, state, trainer, batches, observers, terminated):
        self.config, self.folder, self.state, self.trainer = config, folder, state, trainer
        self.batches, self.observers, self.terminated = batches, observers, terminated
        self.schedule = schedule.of(config, batches.epoch_steps)
        self.swa = averaging.Swa() if config.averaging.swa_epochs else None
        self._saved = time.monotonic()
        wanted = config.averaging.statistics
        self._estimates = wanted == 'estimated' or (wanted == 'auto' and bool(config.model.weights))
        self._statistics = averaging.Statistics(trainer.body)
        self._untraced = trainer.accumulate  # steps until both of its functions are traced
        # Several workers can only stop together, by the flags that `train_step` exchanges.
        worker, workers = strategy.workers_of(trainer.strategy)
        self._chief, self._alone = worker == 0, workers == 1

    def restore(self, arrays):
        """Sets the variables and the SWA average to the arrays that `save` wrote.

        Raises:
          InputError: if the arrays are those of another network.
        """
        count = len(self.trainer.variables)
        checkpoint.assign(self.trainer.variables, arrays[:count], self.folder / workdir.CHECKPOINTS)
        if self.swa:
            self.swa.count, self.swa.values = self.state.averaged, arrays[count:]

    def run(self):
        """Trains to the end of the stage.

        Raises:
          RunError: if a loss is not finite or a file cannot be written.
          PreemptedError: after SIGTERM or Ctrl-C, once the state is saved.
        """
        state, steps = self.state, self.schedule.epoch_steps
        with self._at_once(self._told_to_stop('the last checkpoint')):
            iterator = iter(self.batches.training(state.epoch * steps + state.step))
        if state.epoch == state.step == 0:
            self.save()  # the best weights, with which the stage starts, may soon be replaced
        if not state.ended(self.config):
            for observer in self.observers:
                observer.on_begin(state)
        while not state.ended(self.config):
            while state.step < steps:
                self._step(iterator)
            # Those of random number generators: estimating BatchNorm's statistics draws, too.
            states = [(v, v.numpy()) for v in self.trainer.model.variables
                      if not keras.backend.is_float_dtype(v.dtype)]
            try:
                self._end_epoch()
            except PreemptedError:  # the resumed run repeats the epoch's validation
                for variable, value in states:
                    variable.assign(value)
                self.save()
                raise

    @contextlib.contextmanager
    def _at_once(self, message):
        """Context manager for work that changes nothing saved: a signal stops it at once."""
        with self.terminated.at_once(message) if self._alone else contextlib.nullcontext():
            yield

    def _stopping(self, batches):
        """Yields the batches, and raises PreemptedError between two of them after a signal."""
        for batch in batches:
            if self._alone and self.terminated():
                raise self.terminated.error(self._told_to_stop())
            yield batch

    def _told_to_stop(self, place=''):
        place = place or f'step {self.state.total}, which is saved'
        return f'{self.folder}: told to stop; the same command resumes from {place}'

    def _step(self, iterator):
        state, trainer = self.state, self.trainer
        number = state.epoch * self.schedule.epoch_steps + state.step
        rate = self.schedule.rate(number, state.drops)
        begin = time.perf_counter()
        batch = next(iterator)
        waited = time.perf_counter() - begin
        if number == 0:
            images = trainer.strategy.experimental_local_results(batch[0])[0]
            for observer in self.observers:
                observer.on_first_batch(state.stage, images)
        trainer.optimizer.learning_rate = rate
        with (self._at_once(self._told_to_stop('the last checkpoint')) if self._untraced
              else contextlib.nullcontext()):
            loss, save, stop = trainer.train_step(batch, number, self._chief and self._due(),
                                                  self.terminated())
        self._untraced = max(self._untraced - 1, 0)
        if not math.isfinite(loss):
            raise self._not_finite(loss, number, rate)
        state.step += 1
        state.total += 1
        for observer in self.observers:
            observer.on_step(state, loss, trainer.batch_size, waited)
        every = self.config.checkpoint.steps
        if save or stop or (every and state.total % every == 0):
            self.save()
        if stop:
            raise self.terminated.error(self._told_to_stop())

    def _end_epoch(self):
        state, trainer = self.state, self.trainer
        last = state.epoch * self.schedule.epoch_steps + self.schedule.epoch_steps - 1
        row = {'stage': state.stage, 'epoch': len(state.rows) + 1,
               'learning_rate': self.schedule.rate(last, state.drops), **trainer.results()}
        if self._estimates:  # training does not use them, so they need not be restored
            self._estimate()
        with self._at_once(self._told_to_stop()):
            row.update(self._evaluate(self.batches.validation))
        errors = trainer.val_error.correct.numpy(), trainer.val_error.total.numpy()
        self._watch(row, '')
        self._keep_best('raw', row[MONITOR], row['epoch'])
        if trainer.ema is not None:
            self._evaluate_average('ema', trainer.ema.values(), row, self._estimates)
        if self.swa and state.epoch >= self.config.epochs - self.config.averaging.swa_epochs:
            before = self.swa.count, self.swa.values
            self.swa.add(trainer.model)
            try:
                if state.epoch == self.config.epochs - 1:
                    self._evaluate_average('swa', self.swa.values, row, True)
            except PreemptedError:  # the resumed run adds this epoch again
                self.swa.count, self.swa.values = before
                raise
        schedule.plateau(state, row[MONITOR], self.config.schedule.patience,
                         self.config.schedule.min_delta)
        state.rows.append(row)
        if self._chief:
            history.write(self.folder / workdir.METRICS, state.rows)
        for observer in self.observers:
            observer.on_epoch(row, *errors)
        state.stopped = any(observer.stopped for observer in self.observers)
        state.epoch, state.step = state.epoch + 1, 0
        trainer.reset()
        self.save()

    def _evaluate(self, batches):
        def on_batch(number):
            for observer in self.observers:
                observer.on_evaluated_batch(number)

        return self.trainer.evaluate(batches, on_batch)

    def _evaluate_average(self, kind, values, row, estimates):
        with averaging.swapped(self.trainer.model, values):
            if estimates:
                self._estimate()
            error = self._evaluate(self._stopping(self.batches.validation))[MONITOR]
            row[f'val_{kind}_mean_top1_error'] = error
            self._watch(row, f'_{kind}')
            self._keep_best(kind, error, row['epoch'])

    def _watch(self, row, kind):
        """Adds the errors on the watched sets to the row; they choose no weights."""
        for name, batches in self.batches.watched.items():
            row[f'{name}{kind}_mean_top1_error'] = self._evaluate(
                self._stopping(batches))[MONITOR]

    def _estimate(self):
        """Estimates BatchNorm's statistics on the first batches of the stage."""
        count = min(self.config.averaging.batches, self.schedule.epoch_steps)
        self._statistics.estimate(self._stopping(self.batches.training(0)), count)

    def _keep_best(self, kind, error, epoch):
        best = self.state.best
        if kind in best and error >= best[kind]['error']:
            return
        best[kind] = {'error': error, 'stage': self.state.stage, 'epoch': epoch}
        model = self.trainer.model
        with class_variable.gathered(model.variables):  # by all workers
            if self._chief:
                files.check_space(self.folder, checkpoint.space(model.get_weights()))
                with files.replacing(self.folder / workdir.KINDS[kind]) as temporary:
                    model.save_weights(temporary)
                files.write_json(self.folder / workdir.BEST, best)

    def save(self):
        """Writes a checkpoint. Every worker must call it; only the chief writes.

        Raises:
          RunError: if a weight is not finite, or the file cannot be written.
        """
        # Gradient sums of a scaled loss may overflow; the optimizer then skips the update.
        sums, arrays = {id(variable) for variable in self.trainer.sums}, []
        for variable in self.trainer.variables:
            array = variable.numpy()
            if self._chief:  # the others need not hold a large head whole
                arrays.append(array)
            if id(variable) not in sums and not np.isfinite(array).all():
                raise RunError(f'weights: found {variable.path} not finite at step '
                               f'{self.state.total}; expected finite numbers: try a lower '
                               'optimizer.learning_rate or optimizer.clip_norm. The checkpoint '
                               'before it is kept.')
        if self.swa:
            self.state.averaged = self.swa.count
            arrays += self.swa.values
        if self._chief:
            checkpoint.save(self.folder / workdir.CHECKPOINTS, self.state, arrays,
                            self.config.checkpoint.keep)
        self._saved = time.monotonic()

    def _due(self):
        minutes = self.config.checkpoint.minutes
        return minutes > 0 and time.monotonic() - self._saved > 60 * minutes

    def _not_finite(self, loss, number, rate):
        path, names = self.folder / workdir.NOT_FINITE, self.batches.names(number)
        if self._chief:
            files.write_text(path, '\n'.join(names) + '\n')
        return RunError(
            f'loss: found {loss} at step {self.state.total + 1} (step {number + 1} of stage '
            f'{self.state.stage}) with learning rate {rate:g}; expected a finite number: try a '
            f'lower optimizer.learning_rate or optimizer.clip_norm. Images of the batch: '
            f'{", ".join(names[:3])}{", …" if len(names) > 3 else ""} (all in {path}). The last '
            'checkpoint is from before this step.')
