"""The defaults of every field: the paper's recipe, without data.

The fields, with meaning, unit and range, stand in `bsce_tf/fields/table.py`.
"""

from bsce_tf import recipes


def get_config():
    """ConfigDict of all fields."""
    return recipes.defaults()
