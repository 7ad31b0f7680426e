"""Readers of encoded images with one interface, and digests that tell data sets apart."""

import concurrent.futures
import hashlib
import io
import os
import stat

import numpy as np

from bsce_tf import storage
from bsce_tf.data import texts
from bsce_tf.errors import InputError

_SIZES, _READ = 100_000, 256  # how many images' sizes, and bytes, `contents` compares
_IN_MEMORY = 1 << 30  # bytes of images in memory that `contents` compares
_THREADS = 8  # parallel reads hide the latency of network storage


class Records:
    """A selection of the images in a store.

    Args:
      store: object with a thread-safe `read(numbers)`, int64 `[n]` → list of n bytes. It may have
        `facts(numbers)` → an array that changes when the images do and is quick to get, or
        `files_digest(numbers)` → hex digest of what quickly tells the files apart that hold the
        images; see `contents`. It may have `in_order`, True where one call for many images is much
        quicker than many calls at once.
      names: `texts.Texts` or NumPy bytes array `[N]`, UTF-8: a name for each image, for messages.
      numbers: int `[N]`, the number of each image in the store; None: 0 … N−1.
    """

    def __init__(self, store, names, numbers=None):
        self._store = store
        self.names = texts.of(names)
        self._numbers = np.arange(len(names)) if numbers is None else np.asarray(numbers, np.int64)

    def __len__(self):
        return len(self._numbers)

    def read(self, indices):
        """The encoded images at `indices` (int `[n]`), in that order, as a list of bytes.

        Raises:
          InputError: if an image cannot be read.
        """
        return self._store.read(self._numbers[np.asarray(indices, np.int64)])

    @property
    def in_order(self):
        """Whether images should be read one after another, see `store`."""
        return getattr(self._store, 'in_order', False)

    @property
    def has_facts(self):
        """Whether the store tells of its images without reading them."""
        return hasattr(self._store, 'facts')

    def facts(self):
        """Bytes that change when the images do; `contents` says what they cover."""
        facts = getattr(self._store, 'facts', None)
        known = b'' if facts is None else np.ascontiguousarray(facts(self._numbers)).tobytes()
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            return known + b''.join(pool.map(self._digest, _spread(len(self), _READ)))

    def files_digest(self):
        """Hex digest of the files that hold the images, see `contents`; '' where there is none."""
        of_files = getattr(self._store, 'files_digest', None)
        return '' if of_files is None else of_files(self._numbers)

    def _digest(self, index):
        try:
            return hashlib.sha256(self.read([index])[0]).digest()
        except InputError:  # a bad image is reported when it is used
            return b'unreadable'

    def subset(self, indices):
        """The images at `indices`, in that order, as another `Records`."""
        indices = np.asarray(indices, np.int64)
        return Records(self._store, self.names[indices], self._numbers[indices])


class Files:
    """A store of image files.

    Args:
      root: the data folder.
      paths: `texts.Texts` or NumPy bytes array `[N]`, relative to `root`.
    """

    def __init__(self, root, paths):
        self._root = os.fsencode(root)
        self._paths = texts.of(paths)

    def read(self, numbers):
        """Bytes of the files at `numbers`; an `InputError` names one that cannot be read."""
        return [read_file(os.path.join(self._root, self._paths[number]))
                for number in numbers]

    def facts(self, numbers):
        """int64: sizes of the files, −1 for a missing one; of many files, those of a sample."""
        parts = np.array_split(numbers[_spread(len(numbers), _SIZES)], _THREADS)
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            return np.concatenate(list(pool.map(self._sizes, parts)))

    def _sizes(self, numbers):
        start, sizes = self._root + b'/', np.full(len(numbers), -1, np.int64)
        for i, path in enumerate(self._paths[numbers].tolist()):
            try:
                sizes[i] = os.stat(start + path).st_size
            except OSError:
                continue
        return sizes


class Addresses:
    """A store of files in a bucket or on a web server. It has no facts: each would be a request.

    Args:
      root: address of the data folder, or `storage.WHOLE`.
      paths: `texts.Texts` or NumPy bytes array `[N]`, relative to `root`, or addresses.
    """

    def __init__(self, root, paths):
        self._root = root
        self._paths = texts.of(paths)

    def read(self, numbers):
        """Bytes of the files at `numbers`; an `InputError` names one that cannot be read."""
        return [storage.read(storage.join(self._root, os.fsdecode(self._paths[number])))
                for number in numbers]


def read_file(path):
    """Bytes of the file at `path` (bytes); an `InputError` names one that cannot be read."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for ever. Each call may be a round trip on
        # network storage, and after each one a thread waits for the interpreter. So there is no
        # `stat` before, and no read at the end that finds nothing.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(None, 'not a file')
            data = os.read(file, facts.st_size)
            # Network storage may give a part; some file systems tell size 0.
            if not data or len(data) < facts.st_size:
                data += io.FileIO(file, closefd=False).readall()
            return data
        finally:
            os.close(file)
    except OSError as error:
        # 'replace': messages go into logs and tables, which are text
        raise InputError(f'{path.decode("utf-8", "replace")}: {error.strerror}; expected an image '
                         'file.') from error


def of(examples):
    """`Records` of an `Examples` whose images are encoded, in files or in records.

    Raises:
      InputError: if the images are in memory, decoded.
    """
    if examples.records is not None:
        return examples.records
    if examples.paths is None:
        raise InputError(f'{examples.origin}: these images are in memory, decoded; expected image '
                         'files or records (data.source).')
    store = Addresses if storage.is_address(examples.root) else Files
    return Records(store(examples.root, examples.paths), examples.paths)


def place(examples):
    """Where a set lies, as text that tells it from others: the data folder, or what it is called.
    """
    if examples.paths is None:
        return examples.origin
    if storage.is_address(examples.root):
        return examples.root.rstrip('/')
    return os.path.realpath(examples.root)


def names(examples):
    """NumPy bytes array `[N]`: the name of each image, as clean lists have it."""
    if examples.paths is not None:
        return examples.paths
    if examples.records is not None:
        return examples.records.names
    numbers = np.arange(len(examples)) if examples.numbers is None else examples.numbers
    return texts.of([b'image %d' % number for number in numbers.tolist()])


def contents(examples):
    """Digest of the content of the images, as far as it can be read in about a second.

    It is in hexadecimal; see `same` for how two are compared.

    * Images in memory: every pixel; of more than 1 GiB, whole images spread over the set.
    * Packs: the checksums of all images, which packing wrote.
    * Files: all sizes; of more than 100,000 files, the sizes of 100,000 spread over the set.
    * Parquet files: the size and the footer of each, which has the sizes of its columns. This is
      a second word, which the results of earlier versions lack.
    * Packs, files, those of buckets and web servers, and all other records: the bytes of 256
      images, spread over the set.

    Modification times do not count, since copies on other machines have others. A file that was
    replaced by one of the same size is noticed only if it is among the 256.
    """
    if examples.images is not None:
        images = examples.images
        if images.nbytes > _IN_MEMORY:  # they may lie in a file that was never read whole
            images = images[_spread(len(images), max(_IN_MEMORY // images[0].nbytes, 1))]
        return hashlib.sha256(np.ascontiguousarray(images)).hexdigest()
    found = of(examples)
    return f'{hashlib.sha256(found.facts()).hexdigest()} {found.files_digest()}'.rstrip()


def same(found, expected):
    """Whether stored `contents` are those of now; a word that an earlier version lacks is equal."""
    return found == expected or found == expected.partition(' ')[0]


def differing(found, expected):
    """Keys whose values differ in two dicts that describe the data of a result, as a list.

    Results of earlier versions have no `contents`, which then counts as equal.
    """
    return [key for key, value in expected.items()
            if not (same(found.get(key, value), value) if key == 'contents'
                    else found.get(key) == value)]


def _spread(count, most):
    """At most `most` of the numbers 0 … count − 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def identities(examples):
    """uint64 `[N]`: a hash of each image, to find it in another set without reading files.

    For images in memory it is of the pixels; for files and records, of the name in the source.
    `catalogue.hashes` gives hashes of the bytes.
    """
    if examples.images is None:
        hashed = map(bytes, names(examples))
    else:
        hashed = (image.tobytes() for image in examples.images)
    hashes = (hashlib.blake2b(data, digest_size=8).digest() for data in hashed)
    return np.frombuffer(b''.join(hashes), np.uint64)


def fingerprint(examples):
    """Hex digest of a set's list: its labels, image names and class names.

    It does not depend on the content of the images; see `contents`.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(examples.labels).tobytes())
    for values in (names(examples), (name.encode() for name in examples.class_names)):
        for value in values:
            digest.update(bytes(value) + b'\n')
        digest.update(b'\n')
    return digest.hexdigest()
