"""What the table of fields says of each one."""

from typing import NamedTuple

from bsce_tf.fields.rules import Rule

# What a field decides, and so what may differ when a run goes on (training/resume.py).
FIXED = 'fixed'      # the weights of steps already made: another value needs another run
BOUNDED = 'bounded'  # the same beyond bounds that training/resume.py knows, as for more epochs
DATA = 'data'        # where data are found; that they are the same is checked by what they are
AUDIT = 'audit'      # probabilities of an audit, not the weights of a run
ROUNDS = 'rounds'    # what an audit lists, and with it the next round of clean_train
LATER = 'later'      # nothing that is already done

# What must not differ, by what goes on.
OF_RUN = (FIXED, BOUNDED)
OF_AUDIT = (FIXED, BOUNDED, AUDIT)
OF_ROUNDS = (FIXED, BOUNDED, DATA, AUDIT, ROUNDS)

# Of config.json. Count it up when the meaning of a field changes or one goes: then an earlier
# program refuses the run, and `Field.old` holds for what was written before.
VERSION = 4


class Field(NamedTuple):
    """One field.

    Attributes:
      default: its value in configs/default.py.
      rule: a `rules.Rule`.
      help: meaning and unit.
      resume: one of the names above.
      old: what runs of versions before this field, or this default, did; None: as the default.
    """

    default: object
    rule: Rule
    help: str
    resume: str = FIXED
    old: object = None

    @property
    def before(self):
        """The value that an earlier version's run had without saying so."""
        return self.default if self.old is None else self.old
