"""TFRecord files of the usual layout. An index of byte offsets allows reading in any order.

A record is a `tf.train.Example` with `image/encoded` (bytes), `image/class/label` (int64) and
optionally `image/class/text` (bytes).
"""

import functools
import os
import re
import struct
import threading

import numpy as np

from bsce_tf.data.records import Records
from bsce_tf.data.sources import index_cache, listing, walk
from bsce_tf.errors import InputError

_HEADER, _FOOTER = 12, 4  # bytes around a record: its length with a checksum, and a checksum
_BATCH = 256
_tracing = threading.Lock()


def load(*, root, train='', validation='', test='', classes='', cache=''):
    """Finds the offset of every record. Reads all files once; the index cache keeps the result.

    Args:
      root: the data folder.
      train: pattern of the training files relative to `root`; empty for `train-*`.
      validation: the same for validation; empty for `validation-*`, if there are such files.
      test: the same for testing; empty for none. All its labels may be missing or negative.
      classes: file of class names in the order of their ids; empty: the texts of the records, or
        their numeric labels where there is no text.
      cache: folder for the index, see `index_cache.cached`.

    Returns:
      `Splits`; names of images are `<file>:<offset in bytes>`.

    Raises:
      InputError: if files are missing, damaged, compressed or of another layout.
    """
    patterns = {'train': train or 'train-*', 'validation': validation, 'test': test}
    if not validation and walk.matching(root, 'validation-*'):
        patterns['validation'] = 'validation-*'
    indexes, origins = {}, {}
    for split, pattern in patterns.items():
        origins[split] = os.path.join(root, pattern)
        indexes[split] = _read(root, pattern, cache) if pattern else None
    return listing.assemble(indexes, origins, lambda _, found: {
        'records': Records(TFRecords(root, found.paths), found.paths)}, classes)


def _read(root, pattern, cache):
    paths = walk.matching(root, pattern)
    if not paths:
        raise InputError(f"{root}: no file fits '{pattern}'; expected TFRecord files.")
    return index_cache.cached(paths, ['tfrecord', root], cache,
                              lambda: _build(root, pattern, paths))


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
    """Byte offset of each record of a file."""
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
        line = _line(error) if isinstance(error, tf.errors.OpError) else error
        raise InputError(f'{path}: {line}; expected records with image/encoded and '
                         'image/class/label.') from error


class TFRecords:
    """Reads encoded images from TFRecord files and verifies the checksums of their records.

    Args:
      root: the data folder.
      names: NumPy bytes array `[N]` of `<file>:<offset>`.
    """

    def __init__(self, root, names):
        self._root = root
        self._names = names

    def read(self, numbers):
        """Encoded images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        import tensorflow as tf
        if not len(numbers):
            return []
        places = [self._names[number].rpartition(b':') for number in numbers]
        files = [os.path.join(os.fsencode(self._root), file) for file, _, _ in places]
        try:
            offsets = tf.constant([int(offset) for _, _, offset in places], tf.int64)
            return list(_reader()(tf.constant(files), offsets).numpy())
        except tf.errors.OpError as error:
            if len(numbers) > 1:  # find the record that failed: the error does not name it
                return [self.read([number])[0] for number in numbers]
            name = self._names[numbers[0]].decode('utf-8', 'replace')
            raise InputError(f'{os.path.join(self._root, name)}: {_line(error)}; expected a whole '
                             'record with one image/encoded.') from error


def _reader():
    with _tracing:  # several threads may call it at once
        return _traced_reader()


@functools.cache
def _traced_reader():
    """Function of (files, offsets), both `[n]`, that returns the encoded images, string `[n]`."""
    import tensorflow as tf
    layout = {'image/encoded': tf.io.FixedLenFeature([], tf.string)}

    def record(file, offset):
        # The raw operation takes an offset, which tf.data.TFRecordDataset does not.
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=file[None], compression_type='', buffer_size=0, byte_offsets=offset[None])
        return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string)).take(1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string),
                                  tf.TensorSpec([None], tf.int64)])
    def read(files, offsets):
        with tf.device('/CPU:0'):
            records = tf.data.Dataset.from_tensor_slices((files, offsets)).flat_map(record)
            batch = records.batch(tf.size(files, tf.int64)).get_single_element()
            return tf.io.parse_example(batch, layout)['image/encoded']

    return read.get_concrete_function()


def _line(error):
    """The cause that a TensorFlow error names, in one line without its stack trace."""
    import tensorflow as tf
    found = re.search(r'(corrupted|truncated) record at \d+', error.message)
    if found:
        return f'{found[0]} (by its checksum)'
    kinds = {tf.errors.NotFoundError: 'no such file',
             tf.errors.InvalidArgumentError: 'no record there, or one of another layout'}
    return kinds.get(type(error), ' '.join(error.message.split())[:200])
