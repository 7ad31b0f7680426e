"""The command line: modes, flags, help, and one line for every error."""

from bsce_tf.cli.modes import GROUPS, MODES
from bsce_tf.cli.program import main, process, run

__all__ = ['GROUPS', 'MODES', 'main', 'process', 'run']
