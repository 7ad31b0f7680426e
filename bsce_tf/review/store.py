"""The decisions of a review: appended to a file, on disk before anything else is shown."""

import collections
import datetime
import errno
import os
import threading
import time
from typing import NamedTuple

import numpy as np
from absl import logging

from bsce_tf.data import decisions
from bsce_tf.errors import InputError

NAME = 'decisions.jsonl'
OPEN, DECIDED, SKIPPED = range(3)  # of an image
_WINDOW = 600  # seconds over which the rate is taken


class StaleError(Exception):
    """The page showed an image as it was before another decision, as in a second tab."""


class State(NamedTuple):
    """What counts for one image.

    Attributes:
      decision: one of `decisions.WORDS`, or '' for none.
      label: class id; −1 without one.
      version: rows on this image so far, undone ones too.
    """

    decision: str
    label: int
    version: int


class Store:
    """Decisions on the images of a `catalogue.Catalogue`, in a file.

    Args:
      path: pathlib.Path of the file; made at the first decision.
      catalogue: the `Catalogue`.
      reviewer: name to write beside each decision.

    Attributes:
      status: int8 `[N]`, `OPEN`, `DECIDED` or `SKIPPED`.
      labels: int32 `[N]`: class of a decided image, −1 of a removed one; else as audited.

    Raises:
      InputError: if the file is damaged or of other images.
    """

    def __init__(self, path, catalogue, reviewer):
        self._path, self._reviewer = path, reviewer
        self._before, self._audited = catalogue.before, catalogue.train.labels
        self._classes = catalogue.train.class_names
        self._key = decisions.keys(self._before)
        self._lock = threading.RLock()
        self._stacks, self._versions, self._history = {}, collections.Counter(), []
        self._times = collections.deque()
        self.status = np.zeros(len(self._audited), np.int8)
        self.labels = np.array(self._audited, np.int32)
        # Of reviews of earlier audits only the labels are left, which are those that were audited.
        self._earlier = {index: (decisions.KEEP, int(self._audited[index]))
                         for index in np.flatnonzero(catalogue.reviewed).tolist()}
        for index in self._earlier:
            self._settle(index)
        self._end = self._replay() if path.exists() else 0

    @property
    def changes(self):
        """Number of rows so far."""
        return len(self._history)

    def state(self, index):
        """The `State` of an image."""
        with self._lock:
            stack = self._stacks.get(index)
            word, label = stack[-1] if stack else self._earlier.get(index, ('', -1))
            return State(word, label, self._versions[index])

    def decide(self, index, decision, label, version, digest, reviewer=''):
        """Writes a decision; on return it is on disk.

        Args:
          index: of the image.
          decision: one of `decisions.WORDS`, but not undo.
          label: class id, or −1 for remove and skip.
          version: that of the `State` that the reviewer saw.
          digest: SHA-256 of the image that the reviewer saw, '' if it cannot be read.
          reviewer: name to write beside it; '' for that of the store.

        Raises:
          StaleError: if there was another decision on the image since.
          OSError: if it cannot be written; nothing has changed then.
        """
        with self._lock:
            before = self.state(index)
            if before.version != version:
                raise StaleError
            if decision == decisions.SKIP and before.decision not in ('', decisions.SKIP):
                return  # it stays decided
            self._append(index, decision, label, digest, reviewer)
            self._stacks.setdefault(index, []).append((decision, label))
            self._note(index)

    def undo(self, index, version):
        """Takes back the last decision on an image; `version` as in `decide`.

        Raises:
          StaleError, OSError: as `decide`.
        """
        with self._lock:
            if self._versions[index] != version or not self._stacks.get(index):
                raise StaleError
            self._append(index, decisions.UNDO, -1, '')
            self._stacks[index].pop()
            self._note(index)

    def last(self):
        """Index of the image that was decided last and is not undone; None if there is none."""
        with self._lock:
            left = collections.Counter({i: len(stack) for i, stack in self._stacks.items()})
            undone = collections.Counter()
            for index, word in reversed(self._history):
                if word == decisions.UNDO:
                    undone[index] += 1
                elif undone[index]:
                    undone[index] -= 1
                elif left[index]:
                    return index
            return None

    def rate(self):
        """Decisions a minute over the last ten minutes; None for fewer than two."""
        with self._lock:
            now = time.monotonic()
            while self._times and self._times[0] < now - _WINDOW:
                self._times.popleft()
            if len(self._times) < 2:
                return None
            return 60 * (len(self._times) - 1) / max(now - self._times[0], 1.0)

    def standing(self):
        """(bool `[N]`: whether a person decided, int32 `[N]`: `labels`), copies."""
        with self._lock:
            return self.status == DECIDED, self.labels.copy()

    def _note(self, index):
        self._times.append(time.monotonic())
        self._settle(index)

    def _settle(self, index):
        """Sets the arrays of an image after its decisions."""
        word, label, _ = self.state(index)
        self.status[index] = (OPEN if not word else
                              SKIPPED if word == decisions.SKIP else DECIDED)
        self.labels[index] = label if self.status[index] == DECIDED else self._audited[index]

    def _append(self, index, decision, label, digest, reviewer=''):
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
        row = decisions.Decision(
            *self._key(index), digest, decision, self._classes[label] if label >= 0 else '',
            reviewer or self._reviewer, now)
        new = b'' if self._end else decisions.line(decisions.HEADER)
        self._end = append(self._path, new + decisions.line(row), self._end)
        self._history.append((index, decision))
        self._versions[index] += 1

    def _replay(self):
        """Reads the file, and cuts off a half-written last line; returns its length."""
        rows, end = decisions.read(self._path)
        if end < self._path.stat().st_size:
            os.truncate(self._path, end)
        keys = {row[:3]: row for row in rows}
        places = {row[:3]: i for i, row, _ in decisions.located(self._before, keys, self._path)}
        ids = dict(zip(self._classes, range(len(self._classes)), strict=True))
        replaced = {key for key, row in decisions.standing(rows).items()
                    if not decisions.unchanged(self._before, places[key], row)}
        if replaced:
            logging.warning('%s: %d images were replaced since the decision on them; they are '
                            'asked again.', self._path, len(replaced))
        for row in rows:
            index = places[row[:3]]
            self._versions[index] += 1
            self._history.append((index, row.decision))
            if row.label and row.label not in ids:
                raise InputError(f"{self._path}: class '{row.label}' is not among the {len(ids)} "
                                 'classes; expected one of them.')
            stack = self._stacks.setdefault(index, [])
            if row.decision != decisions.UNDO:
                stack.append((row.decision, ids.get(row.label, -1)))
            elif stack:
                stack.pop()
        for key, index in places.items():
            if key in replaced:
                self._stacks[index] = []
            self._settle(index)
        return end


def append(path, data, end):
    """Adds bytes to a file of `end` bytes; on return they are on disk. Returns the new length.

    Raises:
      OSError: if they cannot be written whole; the file is then as before.
    """
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        try:
            os.lseek(descriptor, end, os.SEEK_SET)
            if os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(path.parent, os.O_RDONLY)  # so that the name of the file is on disk, too
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return end + len(data)
