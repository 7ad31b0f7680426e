"""The fields of a config: their table, and checks by it."""

from bsce_tf.errors import InputError
from bsce_tf.fields.table import FIXED, LATER, TABLE

__all__ = ['FIXED', 'LATER', 'TABLE', 'check', 'choices']


def check(name, value, prefix=''):
    """Raises InputError unless there is such a field and it accepts the value.

    Args:
      name: dotted name, as the keys of `TABLE`.
      value: any.
      prefix: what the message puts before the name, such as 'config.'.
    """
    if name not in TABLE:
        block = name.rpartition('.')[0]
        alike = [other for other in TABLE if other.rpartition('.')[0] == block]
        raise InputError(f'{prefix}{name}: unknown field; expected one of '
                         f'{", ".join(alike or TABLE)}.')
    rule = TABLE[name].rule
    if not rule.accepts(value):
        raise InputError(f'{prefix}{name}: found {value!r}; expected {rule.expected}.')


def choices(name):
    """The names that a field may be, as a tuple."""
    return TABLE[name].rule.names()
