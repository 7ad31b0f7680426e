"""Answers by an index: who is next to an image, and the vote of these."""

from typing import NamedTuple

import numpy as np

from bsce_tf.errors import InputError
from bsce_tf.index import open_set, stored, vote


class Found(NamedTuple):
    """What an index says of n images.

    Attributes:
      cosines: float32 `[n, k]` of the nearest images, nearest first; −inf where there is none.
      places: int64 `[n, k]`, their rows; −1 where there is none.
      classes: int64 `[n, k]`, their classes, places in `Answerer.class_names`; −1 likewise.
    """

    cosines: np.ndarray
    places: np.ndarray
    classes: np.ndarray


class Answerer:
    """Answers by an index, alone or together with a classifier.

    Args:
      index: `stored.Index`.
      known: class names of the runs.
      fields: `config.neighbours`.

    Attributes:
      index: as given.
      class_names: the runs' classes, then those that only the index has; position is the class id.
      classes: int64 `[N]`, the class id of each row of the index.

    Raises:
      InputError: if more neighbours are asked for than the index has images.
    """

    def __init__(self, index, known, fields):
        index.check_count(fields.k)
        self.index, self._fields = index, fields
        ids = {name: k for k, name in enumerate(known)}
        own = [ids.setdefault(name, len(ids)) for name in index.rows.class_names]
        self.class_names = tuple(ids)
        self.classes = np.array(own, np.int64)[index.rows.labels]

    @property
    def counts(self):
        """int64 `[C]`: images of each class in the index."""
        return np.bincount(self.classes, minlength=len(self.class_names))

    def search(self, vectors, count=None, without=None):
        """`Found` for vectors, float32 `[n, width]`.

        Args:
          vectors: of an `Embedder`.
          count: neighbours of each; None: `neighbours.k`.
          without: a class id whose images are left out; None: none.
        """
        left_out = None if without is None else np.flatnonzero(self.classes == without)
        cosines, places = self.index.search(vectors, count or self._fields.k, left_out)
        return Found(cosines, places, np.where(places >= 0, self.classes[places], -1))

    def scores(self, found, probabilities, by):
        """float32 `[n, C]`: the share or probability of each class, see `vote`.

        Args:
          found: `Found`, of which the first `neighbours.k` vote.
          probabilities: of the classifier, `[n, K]`.
          by: one of `vote.BY`.
        """
        size = len(self.class_names)
        if by == 'classifier':
            return np.pad(probabilities, [(0, 0), (0, size - probabilities.shape[1])])
        k = self._fields.k
        votes = vote.shares(found.cosines[:, :k], found.classes[:, :k], self._fields.temperature,
                            size)
        return votes if by == 'neighbours' else vote.joined(votes, probabilities, self._fields.mix)


def open_index(config, folder, embedder):
    """The `stored.Index` in a folder, of the runs of an `Embedder`.

    Raises:
      InputError: as `stored.read`.
    """
    return stored.read(folder, embedder.accepted, embedder.class_names, config.index.probes)


def limit(reject, index):
    """The cosine of `neighbours.reject` below which an image is rejected; None: never.

    Raises:
      InputError: if it is to be the one that an evaluation chose, and none has.
    """
    if reject == 'off':
        return None
    if reject != 'auto':
        return float(reject)
    chosen = open_set.read(index.folder)
    if chosen is None:
        raise InputError(f'neighbours.reject: auto, but {index.folder} has no {open_set.NAME}; '
                         'expected one, which --mode=evaluate with predict.by writes, or a number.')
    open_set.warn(chosen, index)
    return chosen['threshold']
