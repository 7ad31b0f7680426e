"""The data that trained runs are evaluated on, with the runs' own classes."""

from absl import logging

from bsce_tf import fields
from bsce_tf.data import label_map, prepare
from bsce_tf.data.reading import records
from bsce_tf.fields import field
from bsce_tf.training import workdir


def load(config, runs, data=None):
    """The data of `config.data`, split with the seed of the first run.

    Args:
      config: ConfigDict.
      runs: list of `workdir.Run`.
      data: `examples.Splits` to use instead.

    Raises:
      InputError: if the classes are not those of the runs, or the data cannot be read.
    """
    first = runs[0]
    data = data or prepare.load(**config.data, seed=first.config.seed)
    label_map.check(first.class_names, data.train.class_names, first.folder / workdir.CLASSES,
                    data.train.origin)
    return data


def other(config, run, data=None):
    """How the evaluated data differ from the run's own, {dotted name: value}.

    Empty if they are its own. Another `data.root` counts as other data.

    Args:
      config: ConfigDict with the evaluated `data`.
      run: `workdir.Run`.
      data: `examples.Splits` that are used instead, or None.
    """
    if data is not None:
        own = records.fingerprint(data.train) == run.data['fingerprint']
        return {} if own else {'data.source': 'given'}
    rows = {name.removeprefix('data.'): row for name, row in fields.TABLE.items()
            if name.startswith('data.') and row.resume != field.LATER}
    here, there = config.data, run.config.data
    return {f'data.{name}': here[name] for name, row in rows.items() if here[name] != there[name]
            and (here[name], there[name]) != (row.default, row.before)}  # of an earlier version


def validation(data, runs):
    """The validation set; warns if a run may have been trained on a part of it."""
    fingerprint = records.fingerprint(data.train)
    for run in runs:
        if run.data['fingerprint'] != fingerprint:
            logging.warning('%s: trained on other images than those of config.data with the seed '
                            'of %s; it may have seen a part of this validation set.', run.folder,
                            runs[0].folder)
    return data.validation


def evaluated(data, runs):
    """(name of the split, its `Examples`): the labelled test set, or else the validation set."""
    if data.test is not None and data.test.labelled:
        return 'test', data.test
    return 'validation', validation(data, runs)
