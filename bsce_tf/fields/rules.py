"""Rules for the values of fields: a test, and its description for messages."""

import importlib
import math
import numbers
import re
from typing import NamedTuple

MOST_PARTS = 100_000  # of the field `part`


class Rule(NamedTuple):
    """What a field accepts.

    Attributes:
      accepts: function of a value → bool.
      text: description, such as 'a whole number ≥ 1'; a string, or a function that returns it.
      names: function that returns the allowed names as a tuple; None if the rule lists no names.
      mixed: whether values of several types are allowed.
    """

    accepts: callable
    text: object
    names: object = None
    mixed: bool = False

    @property
    def expected(self):
        """The description, as a string."""
        return self.text() if callable(self.text) else self.text


def _is_number(value, kind):
    """Whether a value is a number, Python's or NumPy's, and not a bool."""
    return isinstance(value, kind) and not isinstance(value, bool)


def integer(low, high=math.inf):
    """A whole number from `low` to `high`."""
    text = f'a whole number from {low} to {high}' if high < math.inf else f'a whole number ≥ {low}'
    return Rule(lambda v: _is_number(v, numbers.Integral) and low <= v <= high, text)


def number(low, high=math.inf, open_low=False, open_high=False):
    """A finite number from `low` to `high`; an open end does not belong to the range."""
    def accepts(value):
        if not _is_number(value, numbers.Real) or not math.isfinite(value):
            return False
        return (low < value if open_low else low <= value) and (
            value < high if open_high else value <= high)
    bounds = [f'{"above" if open_low else "≥"} {low:g}'] if low > -math.inf else []
    if high < math.inf:
        bounds.append(f'{"below" if open_high else "≤"} {high:g}')
    return Rule(accepts, f'a number {" and ".join(bounds)}')


def number_or(words, low, high=math.inf):
    """A finite number from `low` to `high`, or one of some words."""
    limits = number(low, high)
    return Rule(lambda v: limits.accepts(v) or (type(v) is str and v in words),
                f'{limits.text}, or {" or ".join(words)}', mixed=True)


def one_of(*names, own=False, hub=False):
    """One of some names, or of the keys of a table 'module:TABLE', which is imported when needed.

    `own` also allows a user's own part, see `bsce_tf.parts`; `hub` also a preset of KerasHub, see
    `bsce_tf.models.backbones.hub`.
    """
    of_table = len(names) == 1 and ':' in names[0]

    def known():
        if not of_table:
            return names
        module, table = names[0].split(':')
        return tuple(getattr(importlib.import_module(module), table))

    def text():
        return (f'one of {", ".join(known())}'
                + (", or 'hub:PRESET' of KerasHub" if hub else '')
                + (", or 'package.module:object' of your own" if own else ''))

    def accepts(value):
        return type(value) is str and (
            value in known() or (own and _is_part(value)) or (hub and _is_preset(value)))

    return Rule(accepts, text if of_table else text(), known)


def some_of(*names):
    """One or more of some names, each once, in one string with commas between."""
    def accepts(value):
        parts = value.split(',') if type(value) is str else ['']
        return set(parts) <= set(names) and len(set(parts)) == len(parts)

    return Rule(accepts, f'some of {", ".join(names)}, with commas between')


def _is_preset(name):
    return name.startswith('hub:') and name != 'hub:'


def _is_part(name):
    module, _, attribute = name.partition(':')
    return attribute.isidentifier() and all(map(str.isidentifier, module.split('.')))


def _sequence(accepts, text):
    return Rule(lambda v: type(v) in (tuple, list) and accepts(v), text)


def interval(high=math.inf):
    """Two numbers above 0 and up to `high`, the smaller first."""
    return _sequence(lambda v: len(v) == 2 and all(_is_number(x, numbers.Real) for x in v)
                     and 0 < v[0] <= v[1] <= high and math.isfinite(v[1]),
                     f'two numbers above 0{f" and ≤ {high:g}" if high < math.inf else ""}, the '
                     'smaller first')


def _sizes(values):
    return len(values) > 0 and all(type(s) is int and s >= 8 for s in values)


def _is_share(text):
    number, slash, count = text.partition('/')
    return not text or bool(slash) and number.isdecimal() and count.isdecimal() and (
        1 <= int(number) <= int(count) <= MOST_PARTS)


BOOLEAN = Rule(lambda v: type(v) is bool, 'True or False')
TEXT = Rule(lambda v: type(v) is str, 'a string')
PATH = Rule(lambda v: type(v) is str and '://' not in v, 'a path of this machine')
# Which schemes there are is for `storage` to say.
PLACE = Rule(lambda v: type(v) is str and (
    '://' not in v or re.match(r'[a-z][a-z0-9+.-]*://[^/\s]', v) is not None),
    'a path of this machine, or an address in a bucket')
PART = Rule(lambda v: type(v) is str and _is_share(v), "i/n, as '3/10', or ''")
MAYBE_SIZES = _sequence(lambda v: not v or _sizes(v), 'whole numbers ≥ 8, or ()')
EPOCHS = _sequence(lambda v: all(type(s) is int and s > 0 for s in v),
                   'whole numbers ≥ 1 in brackets')
STAGES = _sequence(lambda v: all(type(s) is dict for s in v),
                   "a tuple of dicts, as ({'epochs': 20}, {'epochs': 5, 'sampler.gamma': 1.0})")
NAMES = _sequence(lambda v: all(type(s) is str and s for s in v),
                  "names in brackets, as ('stem', 'block1')")
