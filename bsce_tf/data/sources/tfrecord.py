"""TFRecord files of images. An index of byte offsets allows reading in any order.

A record is a `tf.train.Example` with an image (bytes) and its label (int64 or bytes). Their keys
are `image/encoded` and `image/class/label`, with an optional `image/class/text` (bytes); or `image`
and `label`; or others that the config names.
"""

import io
import os
import pathlib
import struct
from typing import NamedTuple

from absl import logging

from bsce_tf.data.listing import image_lists, index_cache, walk
from bsce_tf.data.reading.records import Records
from bsce_tf.data.reading.tfrecord_store import (
    DAMAGE,
    FOOTER,
    HEADER,
    TFRecords,
    compression,
    decompressed,
    line_of,
)
from bsce_tf.errors import InputError

# Keys that the names of columns stand for, too, where records have them.
_USUAL = {'image': 'image/encoded', 'label': 'image/class/label'}
_TEXT = 'image/class/text'
_BATCH = 256


class Keys(NamedTuple):
    """Where records have what.

    Attributes:
      image: key of the images.
      label: key of the labels; '' where there is none.
      texts: whether the labels are texts.
    """

    image: str
    label: str
    texts: bool


def load(*, root, train='', validation='', test='', classes='', cache='', image_column='image',
         label_column='label'):
    """Finds the offset of every record. Reads all files once; the index cache keeps the result.

    Files may be compressed by GZIP or ZLIB. Such a file is read as a whole, see `TFRecords`.

    Args:
      root: the data folder.
      train: pattern of the training files relative to `root`; empty for `train-*`.
      validation: the same for validation; empty for `validation-*`, if there are such files.
      test: the same for testing; empty for none. All its labels may be missing or negative.
      classes: file of class names in the order of their ids; empty: the texts of the records, or
        their numeric labels where there is no text.
      cache: folder for the index, see `index_cache.cached`.
      image_column: key of the images; 'image' stands for 'image/encoded', too.
      label_column: key of the labels; 'label' stands for 'image/class/label', too.

    Returns:
      `Splits`; names of images are `<file>:<offset in bytes>`, of the contents where a file is
      compressed.

    Raises:
      InputError: if files or keys are missing, or a file is damaged or of another layout.
    """
    patterns = {'train': train or 'train-*', 'validation': validation, 'test': test}
    if not validation and walk.matching(root, 'validation-*'):
        patterns['validation'] = 'validation-*'
    indexes, origins, images = {}, {}, {}
    for split, pattern in patterns.items():
        origins[split] = os.path.join(root, pattern)
        paths = _paths(root, pattern) if pattern else []
        if paths:
            keys = _keys(paths, origins[split], image_column, label_column, split)
            images[split] = keys.image
            if split == 'train' and compression(str(paths[0])):
                logging.warning('%s: compressed TFRecord files are read as a whole, which is slow '
                                'in any other order than theirs; bsce pack makes a set that '
                                'trains fast.', origins[split])
        indexes[split] = index_cache.cached(
            paths, ['tfrecord', root, *([keys.label] * (keys.label not in ('', _USUAL['label'])))],
            cache, lambda paths=paths, split=split, keys=keys: _build(
                root, origins[split], paths, keys)) if paths else None
    return image_lists.assemble(indexes, origins, lambda split, found: {
        'records': Records(TFRecords(root, found.paths, images[split]), found.paths)}, classes)


def _paths(root, pattern):
    names = walk.matching(root, pattern)
    if not names:
        raise InputError(f"{root}: no file fits '{pattern}'; expected TFRecord files.")
    return [pathlib.Path(root, name) for name in names]


def _keys(paths, origin, image_column, label_column, split):
    """`Keys` by the first record of the files."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # comes with TensorFlow
    for path in map(str, paths):
        if not os.path.getsize(path):
            continue
        try:
            record = next(iter(tf.data.TFRecordDataset(path, compression(path)).take(1)), None)
            found = None if record is None else tf.train.Example.FromString(record.numpy())
        except (tf.errors.OpError, DecodeError) as error:
            _fail(path, error)
        if found is not None:
            break
    else:
        raise InputError(f'{origin}: no record in these files; expected at least one.')
    kinds = {key: value.WhichOneof('kind') for key, value in found.features.feature.items()}
    chosen = []
    for field, column in (('image', image_column), ('label', label_column)):
        key = _USUAL[field] if column == field and _USUAL[field] in kinds else column
        if kinds.get(key) in ('bytes_list', 'int64_list')[:1 + (field == 'label')]:
            chosen.append(key)
        elif field == 'label' and split == 'test' and key not in kinds:
            chosen.append('')
        else:
            also = f" or '{_USUAL[field]}'" * (column == field)
            what = 'images as bytes' if field == 'image' else 'labels as int64 or bytes'
            raise InputError(f"{path}: no key '{column}'{also} (data.{field}_column) with {what} "
                             f'among {", ".join(sorted(kinds)) or "none"}.')
    return Keys(*chosen, kinds.get(chosen[1]) == 'bytes_list')


def _build(root, origin, paths, keys):
    names, codes, ids = [], [], {}
    for path in paths:
        inside = os.fsencode(path.relative_to(root))
        offsets, classes = _records(path, keys)
        names += [inside + b':%d' % offset for offset in offsets]
        codes += [-1 if name is None else ids.setdefault(name, len(ids)) for name in classes]
    return image_lists.index(names, codes, list(ids), origin)


def _records(path, keys):
    """(byte offset of each record of a file, class name of each, None without a label)."""
    import tensorflow as tf
    kind = compression(str(path))
    try:
        if kind:
            contents = decompressed(path, kind)
            places = _places(path, io.BytesIO(contents), len(contents))
            records = tf.data.Dataset.from_generator(
                lambda: (contents[first:last] for first, last in places),
                output_signature=tf.TensorSpec([], tf.string))
        else:
            with open(path, 'rb') as file:
                places = _places(path, file, path.stat().st_size)
            records = tf.data.TFRecordDataset(str(path))
        classes = list(_classes(records, keys))
    except (tf.errors.OpError, UnicodeDecodeError, *DAMAGE) as error:
        _fail(path, error, f' with {keys.image} and {keys.label}')
    if len(classes) != len(places):
        raise InputError(f'{path}: {len(classes)} records read; expected {len(places)}.')
    return [first - HEADER for first, _ in places], classes


def _places(path, file, size):
    """(first byte, last byte + 1) of each record, without what is around it."""
    places, at = [], 0
    while at < size:
        file.seek(at)
        head = file.read(HEADER)
        end = at + HEADER + FOOTER
        if len(head) == HEADER:
            end += struct.unpack_from('<Q', head)[0]
        if len(head) < HEADER or end > size:
            raise InputError(f'{path}: no whole record at byte {at}; expected a TFRecord file that '
                             'is not cut off.')
        places.append((at + HEADER, end - FOOTER))
        at = end
    return places


def _classes(records, keys):
    """Yields the class name of each record of a tf.data.Dataset, None where it has no label."""
    import tensorflow as tf
    layout = {_TEXT: tf.io.FixedLenFeature([], tf.string, '')}
    if keys.label:
        layout[keys.label] = tf.io.FixedLenFeature(
            [], *((tf.string, '') if keys.texts else (tf.int64, -1)))
    for batch in records.batch(_BATCH).map(lambda found: tf.io.parse_example(found, layout)):
        texts = batch[_TEXT].numpy()
        labels = batch[keys.label].numpy() if keys.label else [-1] * len(texts)
        for label, text in zip(labels, texts, strict=True):
            yield _name(label, text if keys.label == _USUAL['label'] else b'', keys.texts)


def _name(label, text, texts):
    if text or texts:
        return (text or label).decode() or None
    return None if label < 0 else str(label)


def _fail(path, error, layout=''):
    import tensorflow as tf
    line = line_of(error) if isinstance(error, tf.errors.OpError) else error
    raise InputError(f'{path}: {line}; expected TFRecords of tf.train.Example{layout}.') from error
