"""reviewed.csv: the clean list that a review's decisions make, kept up with them."""

import threading
import time

import numpy as np

from bsce_tf.audit import audit
from bsce_tf.data import clean_list

NAME = 'reviewed.csv'
_WAIT = 5  # seconds between two writings, and at least so many times as long as one takes:
_SPARE = 20


class Result:
    """Writes reviewed.csv in the folder of an audit.

    Args:
      catalogue: a `catalogue.Catalogue`.
      store: its `store.Store`.
      others: value of `review.others`.

    Raises:
      InputError: if cleaned.csv is needed, and damaged or of other data.
    """

    def __init__(self, catalogue, store, others):
        self.path = catalogue.folder / NAME
        self._store, self._before = store, catalogue.before
        self._labels = catalogue.train.labels
        if others == 'cleaned':
            indices, labels = clean_list.select(self._before, catalogue.folder / audit.CLEANED)
            self._labels = np.full(len(self._before), -1, np.int32)
            self._labels[indices] = labels

    def write(self):
        """Writes the list with all decisions so far; returns the number of its images."""
        decided, labels = self._store.standing()
        labels = np.where(decided, labels, self._labels)
        kept = np.flatnonzero(labels >= 0)
        clean_list.write_audited(self.path, self._before, kept, labels[kept])
        return len(kept)


class Writer:
    """Context manager: a thread keeps the list up while a review runs.

    Args:
      result: a `Result`.
      store: the `Store`.

    Attributes:
      problem: why the last writing failed; '' if it did not.
    """

    def __init__(self, result, store):
        self._result, self._store = result, store
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.problem = ''

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _run(self):
        written, wait = self._store.changes, _WAIT
        while not self._ends.wait(wait):
            if (changes := self._store.changes) == written:
                continue
            begin = time.monotonic()
            try:
                self._result.write()
                written, self.problem = changes, ''
            except OSError as error:
                self.problem = f'{self._result.path} cannot be written: {error.strerror}'
            wait = max(_WAIT, _SPARE * (time.monotonic() - begin))
