"""config.json: how a run stores its config, and how a later version reads it."""

from bsce_tf.errors import InputError
from bsce_tf.fields.field import VERSION
from bsce_tf.fields.renamed import current
from bsce_tf.fields.table import TABLE


def packed(config, begun=VERSION):
    """The content of config.json: a nested dict of plain values, with the version of its fields.

    Args:
      config: nested dict of all fields.
      begun: version with which the run was begun.
    """
    return {'version': VERSION, **({} if begun == VERSION else {'begun': begun}), **config}


def version(stored):
    """The version that config.json was written with; 1 where it says none."""
    return _number(stored, 'version', 1)


def begun(stored):
    """The version with which the run of a config.json was begun: its defaults are the run's."""
    return _number(stored, 'begun', version(stored))


def _number(stored, name, otherwise):
    found = stored.get(name)
    return found if type(found) is int else otherwise


def complete(stored, origin):
    """All fields of a stored run. Fields that it lacks get the value with which it was trained.

    Args:
      stored: nested dict, the content of config.json.
      origin: what to call it in messages.

    Returns:
      Nested dict of all fields of `TABLE`; lists are tuples.

    Raises:
      InputError: if it is of a later version, or has a field that this one does not know.
    """
    found = {current(name): value for name, value in flat(tuples(stored)).items()}
    if version(stored) > VERSION:
        raise InputError(f'{origin}: found fields of version {version(stored)}; expected at most '
                         f'{VERSION}, which this program knows: take a newer one.')
    for name in ('version', 'begun'):
        found.pop(name, None)
    unknown = sorted(found.keys() - TABLE.keys())
    if unknown:
        raise InputError(f'{origin}: found {", ".join(unknown)}; expected only fields that this '
                         'program knows: was the run made by a newer one?')
    return nested({name: found.get(name, field.before) for name, field in TABLE.items()})


def flat(tree, prefix=''):
    """{dotted name: value} of nested dicts."""
    found = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        found.update(flat(value, f'{name}.') if isinstance(value, dict) else {name: value})
    return found


def nested(values):
    """Nested dicts of {dotted name: value}."""
    tree = {}
    for name, value in values.items():
        *blocks, last = name.split('.')
        place = tree
        for block in blocks:
            place = place.setdefault(block, {})
        place[last] = value
    return tree


def tuples(value):
    """JSON's lists as the tuples that configs have."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value
