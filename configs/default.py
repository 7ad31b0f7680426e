"""The defaults of every field: the paper's recipe, without data.

The fields, with meaning, unit and range, stand in `bsce_tf/fields/table.py`.
"""

from bsce_tf import recipes


def get_config(arguments=''):
    """ConfigDict of all fields."""
    if arguments:
        raise recipes.unknown_word(arguments, ())
    return recipes.defaults()
