"""The fields of a config: their table, and checks by it."""

from bsce_tf.errors import InputError
from bsce_tf.fields.table import FIXED, LATER, TABLE

__all__ = ['FIXED', 'LATER', 'TABLE', 'check', 'choices']


def check(name, value, prefix=''):
    """Raises InputError unless `value` is one that the field accepts.

    Args:
      name: dotted name, a key of `TABLE`.
      value: any.
      prefix: what the message puts before the name, such as 'config.'.
    """
    rule = TABLE[name].rule
    if not rule.accepts(value):
        raise InputError(f'{prefix}{name}: found {value!r}; expected {rule.expected}.')


def choices(name):
    """The names that a field may be, as a tuple."""
    return TABLE[name].rule.names()
