"""The state of a run in one file, from which it goes on as if it had not stopped."""

import json

import h5py
import keras

from bsce_tf import files
from bsce_tf.errors import InputError


class Checkpoint(keras.callbacks.Callback):
    """Writes the state after every epoch: variables, callbacks' state and history.

    Put it last, so that it sees what the other callbacks made of the epoch.

    Args:
      path: of the file.
      plateau: a `callbacks.Plateau` or None.
      best: a `callbacks.BestWeights`.
      history: a `callbacks.History`.
    """

    def __init__(self, path, plateau, best, history):
        super().__init__()
        self.path, self.plateau, self.best, self.history = path, plateau, best, history

    def on_epoch_end(self, epoch, logs=None):
        state = {'epoch': epoch + 1, 'best': self.best.best, 'history': self.history.rows,
                 'plateau': self.plateau.state() if self.plateau else None}
        self.path.parent.mkdir(exist_ok=True)
        with files.replacing(self.path) as temporary, h5py.File(temporary, 'w') as file:
            file['state'] = json.dumps(state)
            for i, variable in enumerate(_variables(self.model)):
                file[str(i)] = variable.numpy()

    def restore(self, model):
        """Sets model, optimizer and callbacks to the saved state.

        Args:
          model: compiled, of the same config.

        Returns:
          Epochs done: 0 where there is no checkpoint.

        Raises:
          InputError: if the file is damaged or of another network.
        """
        if not self.path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        try:
            with h5py.File(self.path, 'r') as file:
                state = json.loads(file['state'][()])
                for i, variable in enumerate(_variables(model)):
                    variable.assign(file[str(i)][()])
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f'{self.path}: {error}; expected the checkpoint of this run.'
                             ) from error
        self.best.best, self.history.rows = state['best'], state['history']
        if self.plateau:
            self.plateau.restore(state['plateau'])
        return state['epoch']


def _variables(model):
    """All that training changes: weights, statistics, random states, optimizer."""
    return [*model.variables, *model.optimizer.variables]
