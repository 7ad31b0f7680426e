"""`Examples`, a set of images with labels, as every source returns it."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from bsce_tf.data import texts
from bsce_tf.data.reading import parallel, records
from bsce_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Examples:
    """A labelled set of images, in memory or on disk.

    Exactly one of `images`, `paths` and `records` holds the pictures.

    Attributes:
      labels: int32 `[N]`, class of each image in 0 … K−1; all −1 for an unlabelled set.
      class_names: K names; position is the class id.
      images: uint8 `[N, height, width, channels]`, decoded, or None.
      paths: `texts.Texts` `[N]` (a NumPy bytes array becomes one), UTF-8, relative to `root`; or
        None.
      records: reader of encoded images with `__len__` and `read(indices) → list of bytes`, or None.
      root: folder of `paths`; empty for the other kinds.
      origin: what to call the set in messages, such as its list file.
      numbers: int64 `[N]`, for images in memory: the number of each in the source's set, which is
        its name in every subset; None: 0 … N−1.
      groups: `texts.Texts` `[N]` (a NumPy bytes array becomes one), UTF-8: the group of each image,
        such as the product that is on it; images of one group stay on one side of a split. Empty: a
        group of its own; None: all are.
      readers: how many images to read at a time (`data.readers`); 0: as many as `storage` finds.

    Raises:
      InputError: if there is no image, if lengths differ or if a label is outside 0 … K−1.
    """

    labels: np.ndarray
    class_names: tuple
    images: np.ndarray | None = None
    paths: texts.Texts | None = None
    records: object | None = None
    root: str = ''
    origin: str = 'data'
    numbers: np.ndarray | None = None
    groups: texts.Texts | None = None
    readers: int = 0

    def __post_init__(self):
        object.__setattr__(self, 'labels', np.asarray(self.labels, np.int32))
        object.__setattr__(self, 'class_names', tuple(self.class_names))
        for name in ('paths', 'groups'):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, texts.of(getattr(self, name)))
        stores = [s for s in (self.images, self.paths, self.records) if s is not None]
        if len(stores) != 1:
            raise ValueError('Examples takes exactly one of images, paths and records; '
                             f'found {len(stores)}.')
        if len(stores[0]) != len(self.labels) or self.labels.ndim != 1:
            raise InputError(f'{self.origin}: found {len(stores[0])} images and labels of shape '
                             f'{self.labels.shape}; expected one label an image.')
        if self.groups is not None and len(self.groups) != len(self.labels):
            raise InputError(f'{self.origin}: found {len(self.groups)} groups of {len(self)} '
                             'images; expected one an image.')
        if not len(self.labels):
            raise InputError(f'{self.origin}: no image found; expected at least one.')
        self._check_labels()

    def _check_labels(self):
        if (self.labels == -1).all():
            return
        outside = np.flatnonzero((self.labels < 0) | (self.labels >= self.num_classes))
        if outside.size:
            first = outside[0]
            raise InputError(
                f'{self.origin}: {self.name(first)} has label {self.labels[first]} '
                f'({outside.size} such images); expected 0 to {self.num_classes - 1}.')

    def __len__(self):
        return len(self.labels)

    @property
    def num_classes(self):
        """K, the number of classes."""
        return len(self.class_names)

    @property
    def channels(self):
        """Channels of the images; 3 for files and records, which are decoded to RGB."""
        return 3 if self.images is None else self.images.shape[-1]

    @functools.cached_property
    def storage(self):
        """`parallel.Storage` of images in files or records, measured when it is first asked for."""
        return parallel.measure(records.of(self), self.readers)

    @property
    def labelled(self):
        """Whether labels are known."""
        return bool(self.labels[0] >= 0)

    @property
    def counts(self):
        """int64 `[K]`: images of each class."""
        if not self.labelled:
            return np.zeros(self.num_classes, np.int64)
        return np.bincount(self.labels, minlength=self.num_classes)

    def name(self, index):
        """The name of one image: its file relative to `root`, its record, or its number."""
        if self.paths is not None:
            return self.paths[index].decode('utf-8', 'replace')
        if hasattr(self.records, 'names'):
            return self.records.names[index].decode('utf-8', 'replace')
        return f'image {int(index if self.numbers is None else self.numbers[index])}'

    def subset(self, indices, labels=None):
        """The images at `indices`, in that order, with their own or with the given labels."""
        indices = np.asarray(indices)
        parts = {'labels': self.labels[indices] if labels is None else labels}
        if self.images is not None:
            parts['images'] = self.images[indices]
            parts['numbers'] = (np.arange(len(self)) if self.numbers is None
                                else self.numbers)[indices]
        elif self.paths is not None:
            parts['paths'] = self.paths[indices]
        else:
            parts['records'] = self.records.subset(indices)
        if self.groups is not None:
            parts['groups'] = self.groups[indices]
        return dataclasses.replace(self, **parts)


class Splits(NamedTuple):
    """What a source returns: training images and, where it has them, validation and test images."""

    train: Examples
    validation: Examples | None
    test: Examples | None
