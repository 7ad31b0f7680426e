"""The table of sources: name → loader."""

import dataclasses
import inspect

from absl import logging

from bsce_tf import parts, storage
from bsce_tf.data import clean_list, groups, label_map
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError
from bsce_tf.fields import TABLE

SOURCES = {
    'aliproducts': 'bsce_tf.data.sources.aliproducts:load',
    'csv': 'bsce_tf.data.sources.csv_file:load',
    'folder': 'bsce_tf.data.sources.folder:load',
    'parquet': 'bsce_tf.data.sources.parquet:load',
    'tfds': 'bsce_tf.data.sources.tfds:load',
    'tfrecord': 'bsce_tf.data.sources.tfrecord:load',
    'packed': 'bsce_tf.data.sources.packed:load',
    'arrays': 'bsce_tf.data.sources.arrays:load',
    'hangul': 'bsce_tf.data.sources.hangul:load',
    'fashion_mnist': 'bsce_tf.data.sources.fashion_mnist:load',
    'generated': 'bsce_tf.data.sources.generated:load',
    'given': 'bsce_tf.data.sources.given:load',
}

WITH_ADDRESSES = 'csv', 'folder', 'packed', 'parquet'  # may lie elsewhere, see `storage`

# Fields of `config.data` for sources. Each source takes some of them. Of the others only `cache`
# may be set, since it does not change what is read.
FIELDS = ('root', 'train', 'validation', 'test', 'classes', 'cache', 'dataset', 'image_column',
          'label_column', 'group_column', 'group_pattern', 'clean', 'readers')


def fields(data):
    """The fields of `config.data` (any mapping) that `load` takes, as keyword arguments."""
    return {name: data[name] for name in FIELDS if name in data}


def load(name, *, group_pattern='', clean='', readers=0, **fields):
    """Loads a source by its name.

    Args:
      name: a key of `SOURCES`, or a user's own source, see `parts`.
      group_pattern: regular expression that finds groups in the paths, see `groups.by_pattern`; it
        replaces groups of the source. Empty for none.
      clean: clean lists that choose images, see `clean_list.places`; empty for none. The list of
        an audit is applied here to the labels as they are; `prepare.load` applies it later.
      readers: see `Examples.readers`.
      **fields: those of `FIELDS` that were set. Each source's `load` gets those that it has as
        parameters, and documents them.

    Returns:
      `Splits`.

    Raises:
      InputError: if the name is unknown, a field is set that the source does not take, or what the
        source says of its own input.
    """
    if name not in SOURCES and not parts.is_part(name):
        raise InputError(f"data.source: found '{name}'; expected one of {', '.join(SOURCES)}.")
    loader = parts.load('data.source', SOURCES.get(name, name))
    try:
        known = inspect.signature(loader).parameters
    except (TypeError, ValueError) as error:
        raise InputError(f"data.source: found '{name}', of which Python says: {error}; expected a "
                         'function whose parameters have names.') from error
    strict = all(argument.kind != argument.VAR_KEYWORD for argument in known.values())
    for field, value in fields.items():
        if (strict and field in FIELDS and field not in (*known, 'cache')
                and value != TABLE[f'data.{field}'].default):
            taken = ', '.join(f'data.{field}' for field in known if field in FIELDS)
            raise InputError(f'data.{field}: found {value!r}, which data.source {name} does not '
                             f'take; expected {TABLE[f"data.{field}"].default!r}, as it takes '
                             f'{taken or "no such field"}.')
    for field in ('root', 'train', 'validation', 'test', 'classes') if name in SOURCES else ():
        if not storage.is_address(fields.get(field) or ''):
            continue
        if name not in WITH_ADDRESSES:
            raise InputError(
                f'data.{field}: found {fields[field]!r}, which data.source {name} does not read; '
                f'expected data.source {", ".join(WITH_ADDRESSES)}, or a copy on this machine.')
        if name in ('packed', 'parquet') and field in ('train', 'validation', 'test'):
            raise InputError(f'data.{field}: found {fields[field]!r}; expected a path in data.root,'
                             ' which may be an address.')
    print(f'listing the images of the source {name}', flush=True)  # millions take a while
    given = {field: value for field, value in fields.items() if field in known}
    splits = _own(name, given) if parts.is_part(name) else loader(**given)
    for group in label_map.alike(splits.train.class_names):
        logging.warning('%s: the classes %s differ only by spaces or by Unicode form, and are '
                        'taken as different ones.', splits.train.origin,
                        ' and '.join(map(ascii, group)))
    if group_pattern:
        if column := fields.get('group_column'):
            raise InputError(f"data.group_pattern: found '{group_pattern}' beside "
                             f"data.group_column = '{column}'; expected one of them.")
        splits = grouped(splits, group_pattern)
    if clean:
        for place in filter(None, clean_list.places(clean)):
            splits = Splits(**clean_list.apply_all(splits._asdict(), place))
    return read_by(splits, readers)


def _own(name, given):
    """`Splits` of a user's own source. Raises InputError if it gives none."""
    splits = parts.made('data.source', name, Splits, **given)
    for split, part in splits._asdict().items():
        if not (isinstance(part, Examples) or part is None and split != 'train'):
            raise parts.unfit('data.source', name, f'Splits whose {split} is {type(part).__name__}',
                              'Examples' + ('' if split == 'train' else ' or None'))
    return splits


def read_by(splits, readers):
    """`Splits` whose images are read so many at a time, see `Examples.readers`."""
    return Splits(*(part and dataclasses.replace(part, readers=readers) for part in splits))


def grouped(splits, pattern):
    """`Splits` with groups by their paths; see `groups.by_pattern`."""
    return Splits(*(part and dataclasses.replace(
        part, groups=groups.by_pattern(part, pattern, needed=split == 'train'))
        for split, part in splits._asdict().items()))
