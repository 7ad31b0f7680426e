"""Reads images from TFRecord files, by the place of each record in its file."""

import collections
import functools
import gzip
import os
import re
import struct
import threading
import zlib

from bsce_tf.errors import InputError

HEADER, FOOTER = 12, 4  # bytes around a record: its length with a checksum, and a checksum
DAMAGE = (OSError, EOFError, zlib.error)  # of `decompressed`
_KEPT = 2  # compressed files whose contents are in memory
_tracing = threading.Lock()


def compression(path):
    """'GZIP', 'ZLIB' or '', by what a file begins with."""
    import tensorflow as tf
    try:
        with open(path, 'rb') as file:
            head = file.read(2)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected a TFRecord file.') from error
    packed = head == b'\x1f\x8b' or (head[:1] == b'\x78' and int.from_bytes(head, 'big') % 31 == 0)
    if not packed:
        return ''
    try:  # the length of a first record may begin with the same bytes
        next(iter(tf.data.TFRecordDataset(path).take(1)))
        return ''
    except tf.errors.OpError:
        return 'GZIP' if head == b'\x1f\x8b' else 'ZLIB'


class TFRecords:
    """Reads encoded images from TFRecord files and verifies the checksums of what it reads.

    Of compressed files, which have no random access, the contents of the last two are kept.

    Args:
      root: the data folder.
      names: `texts.Texts` `[N]` of `<file>:<offset>`.
      key: of the images in the records.
    """

    def __init__(self, root, names, key='image/encoded'):
        self._root, self._names, self._key = root, names, key
        self._begin()

    def _begin(self):
        self._lock = threading.Lock()
        self._kinds = {}  # file → its compression
        self._contents = collections.OrderedDict()  # compressed file → contents, last used last

    def __getstate__(self):
        return self._root, self._names, self._key

    def __setstate__(self, state):
        self._root, self._names, self._key = state
        self._begin()

    def read(self, numbers):
        """Encoded images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        places = [self._names[number].rpartition(b':') for number in numbers]
        places = [(os.path.join(os.fsencode(self._root), file), int(offset), i)
                  for i, (file, _, offset) in enumerate(places)]
        images = [None] * len(places)
        plain = []
        for file, offset, i in sorted(places):
            if self._kind(file):
                images[i] = self._of_contents(file, offset)
            else:
                plain.append((file, offset, i))
        for (_, _, i), image in zip(plain, self._of_files(plain), strict=True):
            images[i] = image
        return images

    def _kind(self, file):
        if file not in self._kinds:
            self._kinds[file] = compression(os.fsdecode(file))
        return self._kinds[file]

    def _of_files(self, places):
        import tensorflow as tf
        if not places:
            return []
        files, offsets, _ = zip(*places, strict=True)
        try:
            return list(_reader(self._key)(tf.constant(files), tf.constant(offsets, tf.int64)
                                           ).numpy())
        except tf.errors.OpError as error:
            if len(places) > 1:  # find the record that failed: the error does not name it
                return [self._of_files([place])[0] for place in places]
            self._fail(files[0], offsets[0], line_of(error), error)

    def _of_contents(self, file, offset):
        import tensorflow as tf
        from google.protobuf.message import DecodeError  # comes with TensorFlow
        try:
            with self._lock:
                if file not in self._contents:
                    self._contents[file] = decompressed(file, self._kind(file))
                    if len(self._contents) > _KEPT:
                        self._contents.popitem(last=False)
                self._contents.move_to_end(file)
                contents = self._contents[file]
            start = offset + HEADER
            length, = struct.unpack_from('<Q', contents, offset)
            example = tf.train.Example.FromString(contents[start:start + length])
            return example.features.feature[self._key].bytes_list.value[0]
        except DAMAGE as error:
            self._fail(file, offset, getattr(error, 'strerror', None) or error, error)
        except (struct.error, DecodeError, IndexError) as error:
            self._fail(file, offset, f'no record there, or one of another layout ({error})', error)

    def _fail(self, file, offset, line, error):
        raise InputError(f'{file.decode("utf-8", "replace")}:{offset}: {line}; expected a whole '
                         f'record with one {self._key}.') from error


def decompressed(file, kind):
    """The contents of a file, whole; one of `DAMAGE` where it is damaged or cut off."""
    if kind == 'GZIP':
        with gzip.open(file, 'rb') as contents:
            return contents.read()
    with open(file, 'rb') as contents:
        return zlib.decompress(contents.read())


def _reader(key):
    with _tracing:  # several threads may call it at once
        return _traced_reader(key)


@functools.cache
def _traced_reader(key):
    """Function of (files, offsets), both `[n]`, that returns the encoded images, string `[n]`."""
    import tensorflow as tf
    layout = {key: tf.io.FixedLenFeature([], tf.string)}

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
            return tf.io.parse_example(batch, layout)[key]

    return read.get_concrete_function()


def line_of(error):
    """The cause that a TensorFlow error names, in one line without its stack trace."""
    import tensorflow as tf
    found = re.search(r'(corrupted|truncated) record at \d+', error.message)
    if found:
        return f'{found[0]} (by its checksum)'
    kinds = {tf.errors.NotFoundError: 'no such file',
             tf.errors.InvalidArgumentError: 'no record there, or one of another layout'}
    return kinds.get(type(error), ' '.join(error.message.split())[:200])
