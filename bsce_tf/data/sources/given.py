"""Data that was given from Python, by `bsce_tf.train(…, data=…)`; no file tells where it is."""

from bsce_tf.errors import InputError


def load(**_):
    """Raises InputError: the data can only be given again."""
    raise InputError("data.source: found 'given', as the run was trained on data from Python; "
                     'expected another source, or the same data again in bsce_tf.train or '
                     'Run.evaluate.')
