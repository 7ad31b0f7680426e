"""Handles images that cannot be decoded during a run: replaces or skips them, or stops the run."""

import collections
import contextlib
import csv
import fcntl
import io
import os
import pathlib
import threading

import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import fields, files, storage
from bsce_tf.data.images import check
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, RunError, StorageError

ACTIONS = fields.choices('data.on_error')
_LOGGED = set()  # (name, reason) of the bad images that this process has logged


class BadImages:
    """Finds out why an image failed, counts it, and then replaces it or stops the run.

    One object serves all sets of a run. It is called only after an image failed, so good images
    cost nothing. Exceptions cannot leave a TensorFlow graph: `error` keeps them, and `raising`
    raises them in the caller.

    Args:
      on_error: 'skip' or 'stop' (`data.on_error`). 'skip' trains on another image of the same class
        and leaves the image out of an evaluation.
      max_fraction: with 'skip', the run stops when more than this share of a set is bad; 0 … 1
        (`data.max_bad_fraction`).
      max_pixels: larger images count as bad (`data.max_pixels`); 0 for no limit.
      report: CSV file (path, reason) of all bad images; None for none. Each bad image is added, and
        synced to the disk, unless an earlier start of the run or another worker has added it.
      seed: of the choice of replacements.
      few: this many bad images of a set never stop the run, however small the set is.

    Attributes:
      error: the `InputError` or `RunError` that stopped the run, or None.

    Raises:
      InputError: if a setting is out of range.
    """

    def __init__(self, on_error='stop', max_fraction=0.01, max_pixels=0, report=None, seed=0,
                 few=0):
        if on_error not in ACTIONS:
            raise InputError(f"data.on_error: found '{on_error}'; expected one of "
                             f"{', '.join(ACTIONS)}.")
        if not 0 <= max_fraction <= 1:
            raise InputError(f'data.max_bad_fraction: found {max_fraction}; expected 0 to 1.')
        if max_pixels < 0:
            raise InputError(f'data.max_pixels: found {max_pixels}; expected 0 (no limit) or more.')
        self.on_error = on_error
        self.max_fraction = max_fraction
        self.max_pixels = max_pixels
        self._few = few
        self.error = None
        self._seed = seed
        self._report = report and _Report(report)
        self._reasons = {}  # (id of Examples, index) → reason
        self._counts = collections.Counter()  # id of Examples → bad images
        self._classes = {}  # id of Examples → (images by class, where each class begins)
        self._sets = {}  # id → Examples, so that no other gets the id
        self._lock = threading.RLock()  # the pipeline's threads may find bad images at once

    def count(self, examples):
        """How many bad images of `examples` were found so far."""
        return self._counts[id(examples)]

    def found_before(self, examples, count):
        """Counts bad images of `examples` that an earlier start has found and left out."""
        self._counts[id(examples)] += count
        self._sets[id(examples)] = examples

    @contextlib.contextmanager
    def raising(self):
        """Turns TensorFlow's error into the `error` that caused it: put it around `fit`.

        Raises:
          StorageError: likewise, if a place of the images did not answer.
        """
        before = len(storage.failed)
        try:
            yield
        except tf.errors.OpError as error:
            if self.error is not None:
                raise self.error from None
            if StorageError.__name__ in str(error) and storage.failed[before:]:
                raise storage.failed[-1] from None
            raise

    def replacement(self, examples, index, position):
        """Encoded bytes to train on instead of an image that failed.

        Another image of its class, always the same one for the same position of the run. The image
        itself if it can be read now, for example after a network failure.

        Raises:
          InputError: if bad images are to stop the run, too many are bad, or the class has no good
            one left.
        """
        with self._lock:
            data = self._examine(examples, index)
            if data is not None:
                return data
            label = examples.labels[index]
            others = self._of_class(examples, label)
            order = np.random.default_rng([self._seed, int(position)]).permutation(others)
            for other in order:
                data = self._examine(examples, other)
                if data is not None:
                    return data
            raise self._stop(
                f"{examples.origin}: class '{examples.class_names[label]}' has no good image left; "
                f'expected one or more of {len(others)}; {examples.name(index)}: '
                f'{self._reasons[id(examples), int(index)]}.')

    def _of_class(self, examples, label):
        """The images of a class, ascending; all classes are sorted once, not for each bad image."""
        key = id(examples)
        if key not in self._classes:
            order = np.argsort(examples.labels, kind='stable')
            self._classes[key] = order, np.searchsorted(
                examples.labels[order], np.arange(examples.num_classes + 1))
            self._sets[key] = examples
        order, starts = self._classes[key]
        return order[starts[label]:starts[label + 1]]

    def leave_out(self, examples, index):
        """Notes an image that failed in an evaluation. Returns True if it can be read now.

        Raises:
          InputError: if bad images are to stop the run or too many are bad.
        """
        with self._lock:
            return self._examine(examples, index) is not None

    def _examine(self, examples, index):
        """The bytes of an image; None, after noting it, if it is bad."""
        key = id(examples), int(index)
        if self.error is not None:  # it may have been raised only in a prefetch that nobody read
            raise self.error
        if key in self._reasons:
            return None
        try:
            data = records.of(examples).read([index])[0]
            reason = check.reason(data, self.max_pixels)
        except InputError as error:
            reason = str(error)
        if reason is None:
            return data
        self._note(examples, key, reason)
        return None

    def _note(self, examples, key, reason):
        name = examples.name(key[1])
        self._sets[key[0]] = examples
        self._reasons[key] = reason
        self._counts[key[0]] += 1
        if (name, reason) not in _LOGGED:  # every run of an audit meets the same images
            _LOGGED.add((name, reason))
            logging.warning('%s: bad image %s: %s', examples.origin, name, reason)
        if self._report:
            try:
                self._report.add(name, reason)
            except OSError as error:
                raise self._stop(f'{self._report.path}: {error.strerror or error}; expected a file '
                                 'that can be written.', RunError) from error
        if self.on_error == 'stop':
            raise self._stop(f'{examples.origin}: {name}: {reason}; data.on_error = skip would '
                             'take another image.')
        bad = self.count(examples)
        if bad > max(self.max_fraction * len(examples), self._few):
            few = f', or {self._few}' if self._few else ''
            raise self._stop(
                f'{examples.origin}: found {bad} bad images of {len(examples)}; expected at most '
                f'data.max_bad_fraction = {self.max_fraction}{few}; the last is {name}: {reason}. '
                'bsce verify lists all, and data.clean leaves them out.')

    def _stop(self, message, kind=InputError):
        self.error = self.error or kind(message)
        return self.error


def list_of(report, part):
    """The list in which a part of the work notes bad images, a pathlib.Path.

    Where all parts see one folder that is `report` itself, to which they all add rows. In a bucket,
    where nothing can be added to a file, each has its own, until they are joined: see `gather`.
    """
    return part.file(report) if files.mirror_of(report) else report


def gather(report, parts):
    """Adds the lists of parts, `division.Division`s, to `report`, a pathlib.Path; removes them."""
    whole = _Report(report)
    for path in [list_of(report, part) for part in parts]:
        if path != report and path.exists():
            with open(path, newline='', encoding='utf-8', errors='replace') as file:
                for row in csv.DictReader(file):
                    whole.add(row['path'], row['reason'])
            files.remove(path)


class _Report:
    """A CSV file (path, reason) that several processes add rows to, each path once.

    A row is one write to the end of the file, under a lock. Before it, only the rows that others
    added since are read, so the cost does not grow with the file.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._place = 0  # up to which the file is read
        self._known = set()

    def add(self, name, reason):
        """Adds a row, unless there is one of that name; OSError if it cannot be written."""
        # Surrogates cannot be written; people read this list and need no exact bytes.
        name, reason = (text.encode(errors='replace').decode() for text in (name, reason))
        with open(self.path, 'ab+') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            whole = self._read(file)
            if name in self._known:
                return
            rows = [] if self._place else [('path', 'reason')]
            text = io.StringIO()
            files.csv_writer(text).writerows([*rows, (name, reason)])
            file.write(('' if whole else '\n').encode() + text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())

    def _read(self, file):
        """Reads the new rows; False if the last one was cut off when its writer was killed."""
        file.seek(self._place)
        added = file.read().decode(errors='replace')
        rows = [row for row in csv.reader(io.StringIO(added)) if row]
        self._known.update(row[0] for row in (rows if self._place else rows[1:]))
        self._place = file.tell()
        return not added or added.endswith('\n')
