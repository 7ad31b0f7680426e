"""What is printed while a run trains."""

import time

from tqdm import tqdm

_FIRST = 100  # steps after which the time of an epoch can be told


class Progress:
    """A bar for the steps of an epoch, and a line for each epoch.

    The bar shows the mean loss, images a second and the share of time in which the device waited
    for data; it is left out where the output is no terminal.

    Args:
      epochs: of the stage.
      epoch_steps: steps of an epoch.
    """

    def __init__(self, epochs, epoch_steps):
        self.epochs, self.epoch_steps = epochs, epoch_steps
        self._bar, self._steps, self._told = None, 0, False

    def on_first_batch(self, stage, images):
        """Before the first step of a stage.

        Args:
          stage: its number.
          images: uint8 `[n, C, C, channels]`, those of the first replica.
        """

    def on_step(self, state, loss, images, waited):
        """After every step.

        Args:
          state: a `State`.
          loss: mean of the batch.
          images: in the batch.
          waited: seconds until the batch was there.
        """
        if self._bar is None:
            self._bar = tqdm(total=self.epoch_steps, initial=state.step - 1, unit='step',
                             desc=f'epoch {state.epoch + 1}/{self.epochs}', leave=False,
                             disable=None)
            self._begin, self._steps, self._waited, self._losses = time.perf_counter(), 0, 0., 0.
            self._images = images
        else:  # the first step compiles
            self._steps += 1
            self._waited += waited
        self._losses += loss
        self._now = time.perf_counter()
        self._bar.update()
        if not self._bar.disable:
            self._bar.set_postfix_str(self._text(), refresh=False)
        if self._steps == _FIRST and not self._told:
            self._told = True
            minutes = self._seconds() / self._steps * self.epoch_steps / 60
            tqdm.write(f'about {minutes:.1f} minutes an epoch ({self._text()})')
        if self._steps == 0:
            self._begin = self._now

    def on_epoch(self, row, correct, total):
        """After every epoch, with its row of metrics.csv and the validation images by class."""
        text = self._text() if self._bar is not None else 'validated'
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        errors = ', '.join(f'{name.removesuffix("_mean_top1_error") or "raw"} {value:.4f}'
                           for name, value in row.items()
                           if name.startswith('val_') and name.endswith('error'))
        print(f'epoch {row["epoch"]}: loss {row["loss"]:.4f}, training error '
              f'{row["mean_top1_error"]:.4f}, validation error {errors.replace("val ", "")}, '
              f'learning rate {row["learning_rate"]:g}; {text}', flush=True)

    def _seconds(self):
        return max(self._now - self._begin, 1e-9)

    def _text(self):
        seconds = self._seconds()
        return (f'loss {self._losses / (self._steps + 1):.3f}, '
                f'{self._steps * self._images / seconds:.0f} images/s, '
                f'{min(self._waited / seconds, 1):.0%} waiting for data')
