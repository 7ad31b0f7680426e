"""Prints the progress of training."""

import math
import time

from tqdm import tqdm

from bsce_tf import progress
from bsce_tf.training.observers.observer import Observer

_FIRST = 100  # steps after which the time of an epoch is estimated


class Progress(Observer):
    """Progress bars for the steps of an epoch and for validation, and a line for each epoch.

    The bar shows the mean loss, images per second and the share of time spent waiting for data. If
    the output is not a terminal, a line every 30 seconds replaces it, see `bsce_tf.progress`.

    Args:
      epochs: of the stage.
      epoch_steps: steps of an epoch.
      validation_batches: number of validation batches.
    """

    def __init__(self, epochs, epoch_steps, validation_batches):
        self.epochs, self.epoch_steps = epochs, epoch_steps
        self._validation_batches = validation_batches
        self._bar, self._training, self._steps, self._told = None, False, 0, False

    def on_begin(self, state):
        """Says that the first step takes a while, because TensorFlow builds its graph in it."""
        print(f'epoch {state.epoch + 1}/{self.epochs}: preparing the first step (TensorFlow '
              'builds its graph: seconds, or minutes for a large network)', flush=True)

    def on_step(self, state, loss, images, waited):
        if not self._training:
            self._open(f'epoch {state.epoch + 1}/{self.epochs}', self.epoch_steps, 'step',
                       state.step - 1)
            self._training = True
            self._begin, self._steps, self._waited, self._losses = time.perf_counter(), 0, 0., 0.
            self._images = images
        else:  # the first step compiles
            self._steps += 1
            self._waited += waited
        self._losses += loss
        self._now = time.perf_counter()
        self._bar.update(
            text=lambda: f'loss {self._losses / (self._steps + 1):.3f}, {self._speed()}')
        if self._steps == _FIRST and not self._told:
            self._told = True
            minutes = self._seconds() / self._steps * self.epoch_steps / 60
            tqdm.write(f'about {minutes:.1f} minutes an epoch ({self._speed()})')
        if self._steps == 0:
            self._begin = self._now

    def on_evaluated_batch(self, number):
        if number == 1:
            self._open('validation', self._validation_batches, 'batch')
        self._bar.update()

    def on_epoch(self, row, correct, total):
        self.close()
        speed = f'; {self._speed()}' if self._training else ''
        self._training = False
        errors = ', '.join(f'{name.removesuffix("_mean_top1_error") or "raw"} {value:.4f}'
                           for name, value in row.items()
                           if name.startswith('val_') and name.endswith('error'))
        training = row['mean_top1_error']
        training = '' if math.isnan(training) else f'training error {training:.4f}, '
        print(f'epoch {row["epoch"]}: loss {row["loss"]:.4f}, {training}validation error '
              f'{errors.replace("val ", "")}, learning rate {row["learning_rate"]:g}{speed}',
              flush=True)

    def close(self, *_):
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, *place):
        self.close()
        self._bar = progress.Bar(*place, brief=True)

    def _seconds(self):
        return max(self._now - self._begin, 1e-9)

    def _speed(self):
        seconds = self._seconds()
        return (f'{self._steps * self._images / seconds:.0f} images/s, '
                f'{min(self._waited / seconds, 1):.0%} waiting for data')
