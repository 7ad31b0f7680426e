"""The fields of a config: their table, and checks of values against it."""

import difflib

from bsce_tf.errors import InputError, alike
from bsce_tf.fields.field import OF_AUDIT, OF_ROUNDS, OF_RUN, VERSION
from bsce_tf.fields.renamed import RENAMED, current
from bsce_tf.fields.table import TABLE

__all__ = ['OF_AUDIT', 'OF_ROUNDS', 'OF_RUN', 'RENAMED', 'TABLE', 'VERSION', 'check', 'choices',
           'current', 'default']


def check(name, value, prefix=''):
    """Raises InputError unless there is such a field and it accepts the value.

    Args:
      name: dotted name, a key of `TABLE`.
      value: any.
      prefix: of the name in the message, such as 'config.'.
    """
    if name not in TABLE:
        raise InputError(f'{prefix}{name}: unknown field{_suggestion(name)}; expected one of '
                         f'{", ".join(_candidates(name))}.')
    rule = TABLE[name].rule
    if not rule.accepts(value):
        near = alike(value, rule.names()) if rule.names and isinstance(value, str) else ''
        raise InputError(f'{prefix}{name}: found {value!r}{near}; expected {rule.expected}.')


def default(name):
    """The default of a field."""
    return TABLE[name].default


def choices(name):
    """The names that a field allows, as a tuple."""
    return TABLE[name].rule.names()


def _suggestion(name):
    """' (did you mean X?)' for an unknown field; prefers fields whose last word is similar."""
    endings = {other: other.rpartition('.')[2] for other in TABLE}
    nearest = difflib.get_close_matches(name.rpartition('.')[2], set(endings.values()), n=1)
    same = [other for other, ending in endings.items() if ending in nearest]
    return alike(name, same or TABLE) or (f' (did you mean {" or ".join(same)}?)' if same else '')


def _candidates(name):
    """The fields of a name's group; if there is no such group, all groups."""
    block = name.rpartition('.')[0]
    group = [other for other in TABLE if other.rpartition('.')[0] == block]
    groups = dict.fromkeys(f'{other.partition(".")[0]}.…' for other in TABLE if '.' in other)
    return group if group and block else [*group, *groups]
