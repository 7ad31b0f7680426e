"""`Field`, a row of the table of fields."""

from typing import NamedTuple

from bsce_tf.fields.rules import Rule

# What a field affects, and so whether it may change when a run is resumed (training/resume.py).
FIXED = 'fixed'      # weights of steps already made: another value needs another run
BOUNDED = 'bounded'  # as FIXED, but training/resume.py allows some changes, such as more epochs
DATA = 'data'        # where the data are; resuming compares their content instead
AUDIT = 'audit'      # probabilities of an audit, not the weights of a run
ROUNDS = 'rounds'    # what an audit lists, and with it the next round of clean_train
LATER = 'later'      # only what is done from now on: it may always change

# Fields that must not change when a run, an audit or the rounds of clean_train are resumed.
OF_RUN = (FIXED, BOUNDED)
OF_AUDIT = (FIXED, BOUNDED, AUDIT)
OF_ROUNDS = (FIXED, BOUNDED, DATA, AUDIT, ROUNDS)

# Of config.json. Increase it when a field changes its meaning or default, or is removed: earlier
# programs then refuse the run, and `Field.old` is the value in runs that were begun before.
VERSION = 5


class Field(NamedTuple):
    """One field.

    Attributes:
      default: its value in configs/default.py.
      rule: a `rules.Rule`.
      help: meaning and unit.
      resume: what it affects, one of the names above.
      old: its value in runs from before the field, or its default, existed; None: the default.
    """

    default: object
    rule: Rule
    help: str
    resume: str = FIXED
    old: object = None

    @property
    def before(self):
        """The value in a run of an earlier version, whose config.json lacks the field."""
        return self.default if self.old is None else self.old
