"""Stands for data passed in Python, `bsce_tf.train(…, data=…)`, which no config can load again."""

from bsce_tf.errors import InputError


def load(**_):
    """Raises InputError: the caller must pass the data again."""
    raise InputError("data.source: found 'given', as the run was trained on data from Python; "
                     'expected another source, or the same data again in bsce_tf.train or '
                     'Run.evaluate.')
