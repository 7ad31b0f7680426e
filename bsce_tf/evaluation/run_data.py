"""The data that trained runs are evaluated on, with the runs' own classes."""

from absl import logging

from bsce_tf import fields
from bsce_tf.data import label_map, prepare, records
from bsce_tf.fields import field
from bsce_tf.training import workdir


def load(config, runs, data=None):
    """The sets that `config.data` tells, split by the seed of the first run.

    Args:
      config: ConfigDict.
      runs: list of `workdir.Run`.
      data: `examples.Splits` to take instead.

    Raises:
      InputError: if the classes are not those of the runs, or what the source says.
    """
    first = runs[0]
    data = data or prepare.load(**config.data, seed=first.config.seed)
    label_map.check(first.class_names, data.train.class_names, first.folder / workdir.CLASSES,
                    data.train.origin)
    return data


def other(config, run, data=None):
    """In what the data that a run is evaluated on are others than its own, {dotted name: value}.

    Empty where they are its own. A root that moved counts as other data.

    Args:
      config: ConfigDict, whose `data` they are of.
      run: `workdir.Run`.
      data: `examples.Splits` that are taken instead, or None.
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
    """The validation set; warns of runs that may have been trained on a part of it."""
    fingerprint = records.fingerprint(data.train)
    for run in runs:
        if run.data['fingerprint'] != fingerprint:
            logging.warning('%s: trained on other images than config.data and the seed of %s tell; '
                            'it may have seen a part of this validation set.', run.folder,
                            runs[0].folder)
    return data.validation
