"""MLflow and Weights & Biases, each an extra, for those who have a server for it."""

import importlib

from bsce_tf import fields, files
from bsce_tf.errors import InputError
from bsce_tf.fields import stored

NAMES = fields.choices('tracking')


class Tracking:
    """Sends the config and the row of every epoch. A restarted run goes on with the same record.

    Args:
      name: mlflow or wandb.
      folder: pathlib.Path of the run; its name is the name of the record, which is kept in
        `tracking.txt`.
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

    def on_first_batch(self, stage, images):
        """Nothing: images stay here."""

    def on_step(self, state, loss, images, waited):
        """Nothing: a row an epoch is enough."""

    def on_epoch(self, row, correct, total):
        """Sends a row of metrics.csv."""
        if self._name == 'mlflow':
            self._package.log_metrics(row, step=row['epoch'])
        else:
            self._package.log(row, step=row['epoch'])

    def close(self):
        """Ends the record."""
        end = self._package.end_run if self._name == 'mlflow' else self._package.finish
        end()
