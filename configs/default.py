"""The default of every field: the paper's recipe, without a data set.

`bsce_tf/fields/*_rows.py` say what each field means, with its unit and range. What a run takes and
reaches depends on the data that it is given, so no numbers stand here.
"""

from bsce_tf import recipes


def get_config(arguments=''):
    """ConfigDict of all fields with their defaults."""
    if arguments:
        raise recipes.unknown_word(arguments, ())
    return recipes.defaults()
