"""Every field of a config, once: default, allowed values, meaning, and when it may change.

`configs/default.py` takes its values from here, `config_check` its rules, `--help` its words, and
the resuming of a run what may differ. The rows are in three files, in the order of `--help`.
"""

from bsce_tf.fields import data_rows, mode_rows, training_rows

TABLE = data_rows.ROWS | training_rows.ROWS | mode_rows.ROWS
