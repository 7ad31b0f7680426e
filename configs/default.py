"""The defaults of every field: the paper's recipe, without data. Other configs change some of them.

The fields, with meaning, unit and range, stand in `bsce_tf/fields/table.py`.
"""

from ml_collections import config_dict

from bsce_tf import fields


def get_config():
    """ConfigDict of all fields."""
    config = config_dict.ConfigDict()
    for name, field in fields.TABLE.items():
        block, _, _ = name.rpartition('.')
        if block and block not in config:
            config[block] = config_dict.ConfigDict()
        (config[block] if block else config)[name.removeprefix(f'{block}.')] = field.default
    return config
