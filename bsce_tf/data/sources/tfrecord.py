"""TFRecord files of the usual layout, read in any order by the place of each record in its file.

A record is a `tf.train.Example` with `image/encoded` (bytes), `image/class/label` (int64) and,
where the writer put it there, `image/class/text` (bytes).
"""

import os
import pathlib
import struct

import numpy as np

from bsce_tf.data.records import Records
from bsce_tf.data.sources import index_cache, listing, walk
from bsce_tf.errors import InputError

_HEADER, _FOOTER = 12, 4  # bytes around a record: its length with a checksum, and a checksum
_BATCH = 256


def load(*, root, train='', validation='', test='', classes='', cache=''):
    """Finds where every record lies, by reading all files once; the index cache keeps the result.

    Args:
      root: the data folder.
      train: pattern of the training files relative to `root`; empty for `train-*`.
      validation: the same; empty for `validation-*` if there are such files.
      test: the same; empty for none. Labels may be missing or negative throughout.
      classes: file of class names in the order of their ids; empty: the texts of the records, or
        their labels as numbers where there is no text.
      cache: folder for the index, see `index_cache.cached`.

    Returns:
      `Splits`; names of images are `<file>:<offset in bytes>`.

    Raises:
      InputError: if files are missing, damaged, compressed or of another layout.
    """
    patterns = {'train': train or 'train-*', 'validation': validation, 'test': test}
    if not validation and _files(root, 'validation-*'):
        patterns['validation'] = 'validation-*'
    indexes, origins = {}, {}
    for split, pattern in patterns.items():
        origins[split] = os.path.join(root, pattern)
        indexes[split] = _read(root, pattern, cache) if pattern else None
    return listing.assemble(indexes, origins, lambda _, found: {
        'records': Records(TFRecords(root, found.paths), found.paths)}, classes)


def _read(root, pattern, cache):
    if os.path.isabs(pattern) or '..' in pattern.split('/'):
        raise InputError(f"{root}: the pattern '{pattern}' leaves the data folder; expected one "
                         'inside of it.')
    paths = _files(root, pattern)
    if not paths:
        raise InputError(f"{root}: no file fits '{pattern}'; expected TFRecord files.")
    return index_cache.cached(paths, ['tfrecord', root], cache,
                              lambda: _build(root, pattern, paths))


def _files(root, pattern):
    return sorted(path for path in pathlib.Path(root).glob(pattern) if path.is_file()
                  and not any(map(walk.left_out, path.relative_to(root).parts)))


def _build(root, pattern, paths):
    names, codes, ids = [], [], {}
    for path in paths:
        inside = os.fsencode(path.relative_to(root))
        offsets = _offsets(path)
        classes = list(_classes(path))
        if len(classes) != len(offsets):
            raise InputError(f'{path}: {len(classes)} records read; expected {len(offsets)}.')
        names += [inside + b':%d' % offset for offset in offsets]
        codes += [-1 if name is None else ids.setdefault(name, len(ids)) for name in classes]
    if not names:
        raise InputError(f"{root}: no record in the files of '{pattern}'; expected at least one.")
    return listing.index(np.array(names, 'S'), codes, list(ids), os.path.join(root, pattern))


def _offsets(path):
    """Where the records of a file begin, in bytes."""
    offsets, at, size = [], 0, path.stat().st_size
    with open(path, 'rb') as file:
        while at < size:
            file.seek(at)
            head = file.read(_HEADER)
            end = at + _HEADER + _FOOTER
            if len(head) == _HEADER:
                end += struct.unpack_from('<Q', head)[0]
            if len(head) < _HEADER or end > size:
                raise InputError(f'{path}: no whole record at byte {at}; expected an uncompressed '
                                 'TFRecord file that is not cut off.')
            offsets.append(at)
            at = end
    return offsets


def _classes(path):
    """Class name of each record of a file, None where it has no label; checksums are verified."""
    import tensorflow as tf
    layout = {'image/class/label': tf.io.FixedLenFeature([], tf.int64, -1),
              'image/class/text': tf.io.FixedLenFeature([], tf.string, '')}
    records = tf.data.TFRecordDataset(str(path)).batch(_BATCH)
    try:
        for batch in records.map(lambda texts: tf.io.parse_example(texts, layout)):
            labels = batch['image/class/label'].numpy()
            texts = batch['image/class/text'].numpy()
            for label, text in zip(labels, texts, strict=True):
                yield text.decode() if text else None if label < 0 else str(label)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        line = ' '.join(str(error).split())[:200]
        raise InputError(f'{path}: {line}; expected records with image/encoded and '
                         'image/class/label.') from error


class TFRecords:
    """A store of the images in TFRecord files.

    Args:
      root: the data folder.
      names: NumPy bytes array `[N]` of `<file>:<offset>`.
    """

    def __init__(self, root, names):
        self._root = root
        self._names = names

    def read(self, numbers):
        """Images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        return [self._image(bytes(self._names[number])) for number in numbers]

    def _image(self, name):
        from tensorflow.train import Example
        file, _, offset = name.rpartition(b':')
        path = os.path.join(os.fsencode(self._root), file)
        try:
            with open(path, 'rb') as opened:
                opened.seek(int(offset))
                size = struct.unpack_from('<Q', opened.read(_HEADER))[0]
                record = Example.FromString(opened.read(size))
        except OSError as error:
            raise InputError(f'{os.fsdecode(path)}: {error.strerror}; expected a TFRecord '
                             'file.') from error
        images = record.features.feature['image/encoded'].bytes_list.value
        if len(images) != 1:
            raise InputError(f'{os.fsdecode(name)}: found {len(images)} values of image/encoded; '
                             'expected one.')
        return images[0]
