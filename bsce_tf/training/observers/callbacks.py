"""Calls a user's `keras.callbacks.Callback`s as `fit` does."""

import keras

from bsce_tf.training.observers.observer import Observer


class Callbacks(Observer):
    """An observer that calls Keras callbacks.

    They see the model, `params` (epochs and steps of the stage) and logs. After a step, the logs
    are `loss`. After an epoch, they are its row of metrics.csv; the lowest `val_mean_top1_error`
    marks the best weights. `model.stop_training = True` ends the stage after the epoch. Callbacks
    cannot set the learning rate: the schedule does. A resumed run does not repeat what a callback
    has done to the weights.

    Args:
      callbacks: list of `keras.callbacks.Callback`.
      model: of the stage.
      epochs: of the stage.
      epoch_steps: steps of an epoch.

    Attributes:
      stopped: whether a callback asked to end the stage.
    """

    def __init__(self, callbacks, model, epochs, epoch_steps):
        model.stop_training = False
        self._model, self._begun, self._in_epoch = model, False, False
        self._list = keras.callbacks.CallbackList(
            callbacks, add_history=False, model=model, epochs=epochs, steps=epoch_steps, verbose=0)

    @property
    def stopped(self):
        return bool(self._model.stop_training)

    def on_step(self, state, loss, images, waited):
        """After every step."""
        if not self._begun:
            self._list.on_train_begin()
            self._begun = True
        if not self._in_epoch:
            self._list.on_epoch_begin(state.epoch)
            self._in_epoch = True
        self._list.on_train_batch_begin(state.step - 1)
        self._list.on_train_batch_end(state.step - 1, {'loss': loss})

    def on_epoch(self, row, correct, total):
        """After every epoch."""
        self._list.on_epoch_end(row['epoch'] - 1, dict(row))
        self._in_epoch = False

    def close(self, *_):
        """After the stage, or when it fails."""
        if self._begun:
            self._list.on_train_end()
