"""MLflow and Weights & Biases; each is an optional extra of the package."""

import importlib

from bsce_tf import fields, files
from bsce_tf.errors import InputError, PreemptedError
from bsce_tf.fields import stored
from bsce_tf.training.observers.observer import Observer

NAMES = fields.choices('tracking')


class Tracking(Observer):
    """Sends the config, and the metrics of every epoch. A resumed run continues its record.

    Args:
      name: mlflow or wandb.
      folder: pathlib.Path of the run. Its name becomes the record's name; `tracking.txt` in it
        keeps the record's id.
      config: nested dict.

    Raises:
      InputError: if the package is not installed.
    """

    def __init__(self, name, folder, config):
        try:
            self._package = importlib.import_module(name)
        except ImportError as error:
            raise InputError(f"tracking: found '{name}', which cannot be imported ({error}); "
                             f"expected pip install 'bsce-tf[{name}]'.") from error
        self._name, path = name, folder / 'tracking.txt'
        known = path.read_text(encoding='utf-8').strip() if path.exists() else None
        if name == 'mlflow':
            record = self._package.start_run(run_id=known, run_name=folder.name).info.run_id
            if known is None:
                self._package.log_params({
                    name: str(value)[:500] for name, value in stored.flat(config).items()})
        else:
            record = self._package.init(name=folder.name, dir=str(folder), config=config, id=known,
                                        resume='allow').id
        files.write_text(path, record + '\n')

    def on_epoch(self, row, correct, total):
        """Sends a row of metrics.csv."""
        if self._name == 'mlflow':
            self._package.log_metrics(row, step=row['epoch'])
        else:
            self._package.log(row, step=row['epoch'])

    def close(self, kind=None, error=None, traceback=None):
        """Ends the record as finished, failed, or killed (stopped by a signal)."""
        stopped = kind is not None and issubclass(
            kind, PreemptedError | KeyboardInterrupt | SystemExit)
        if self._name == 'mlflow':
            self._package.end_run(
                'FINISHED' if kind is None else 'KILLED' if stopped else 'FAILED')
        else:  # wandb has no state "killed"; 255 is its own code for an interrupt
            self._package.finish(exit_code=0 if kind is None else 255 if stopped else 1)
