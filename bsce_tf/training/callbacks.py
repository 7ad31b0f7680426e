"""What happens at the end of an epoch, in a form that survives a restart."""

import csv
import io
import math

import keras

from bsce_tf import files
from bsce_tf.errors import RunError
from bsce_tf.training import workdir

MONITOR = 'val_mean_top1_error'


class Plateau(keras.callbacks.Callback):
    """Divides the learning rate when the monitored error stops falling.

    Keras's ReduceLROnPlateau forgets its best value and its patience at a restart.

    Args:
      factor: new rate / old rate, above 0, below 1.
      patience: epochs without a new best before that, at least 1.
    """

    def __init__(self, factor=0.1, patience=3):
        super().__init__()
        self.factor, self.patience = factor, patience
        self.best, self.wait = math.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        error = logs[MONITOR]
        if error < self.best:
            self.best, self.wait = error, 0
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.wait = 0
            self.model.optimizer.learning_rate = _rate(self.model) * self.factor

    def state(self):
        """What a restarted run needs, as plain values."""
        return {'best': self.best, 'wait': self.wait}

    def restore(self, state):
        """Takes up from what `state` gave."""
        self.best, self.wait = state['best'], state['wait']


class History(keras.callbacks.Callback):
    """Keeps a row an epoch and writes all of them to `metrics.csv`.

    Args:
      path: of the file.
    """

    def __init__(self, path):
        super().__init__()
        self.path, self.rows, self._rate = path, [], None

    def on_epoch_begin(self, epoch, logs=None):
        self._rate = _rate(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({'epoch': epoch + 1, 'learning_rate': self._rate, **logs})
        self.write()

    def write(self):
        """Writes the rows that there are."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_text(self.path, text.getvalue())


class BestWeights(keras.callbacks.Callback):
    """Saves the weights whenever the monitored error has a new best.

    Args:
      folder: of the run.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder, self.best = folder, math.inf

    def on_epoch_end(self, epoch, logs=None):
        if logs[MONITOR] < self.best:
            self.best = logs[MONITOR]
            with files.replacing(self.folder / workdir.WEIGHTS) as temporary:
                self.model.save_weights(temporary)
            files.write_json(self.folder / workdir.BEST, {'raw': {
                'stage': 0, 'epoch': epoch + 1, 'error': self.best}})


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends the run at the first step whose mean loss of the epoch is not finite."""

    def on_train_batch_end(self, batch, logs=None):
        loss = logs['loss']
        if not math.isfinite(loss):
            rate = _rate(self.model)
            step = int(self.model.optimizer.iterations.numpy())
            raise RunError(f'loss: found {loss} at step {step} with learning rate {rate:g}; '
                           'expected a finite number: try a lower optimizer.learning_rate.')


def _rate(model):
    """The learning rate as a number; `float` of the variable fails under MirroredStrategy."""
    return float(model.optimizer.learning_rate.numpy())
