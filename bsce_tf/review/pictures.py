"""The pictures of a review, encoded for a browser, and what is known of each."""

import collections
import threading
from typing import NamedTuple

import tensorflow as tf

from bsce_tf.data import decisions
from bsce_tf.errors import InputError
from bsce_tf.report import thumbnails

SIDES = {'large': 900, 'small': 192, 'whole': 1 << 30}  # of the longer side in pixels, at most
_KEPT = 64 * 2**20  # bytes of encoded pictures
_QUALITY = 90


class Facts(NamedTuple):
    """What is known of a picture.

    Attributes:
      height, width: pixels, upright; 0 if it cannot be shown.
      digest: SHA-256 of its content; '' if it cannot be read.
      problem: why it cannot be shown; '' if it can.
    """

    height: int
    width: int
    digest: str
    problem: str


class Pictures:
    """Pictures of a set, decoded as in training; safe in threads.

    Args:
      examples: an `Examples`.
      max_pixels: larger images are not decoded; 0 for no limit.
    """

    def __init__(self, examples, max_pixels):
        self._examples, self._max_pixels = examples, max_pixels
        self._lock = threading.Lock()
        self._kept, self._bytes, self._facts = collections.OrderedDict(), 0, {}

    def get(self, index, kind):
        """(bytes, 'png' or 'jpeg') of a picture; `kind` is a key of `SIDES`.

        Raises:
          InputError: if it cannot be read or decoded.
        """
        key = index, kind
        if kind == 'large':  # is read and compared each time: a replaced one must not be shown
            problem = self.facts(index).problem
            if problem:
                raise InputError(problem)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = thumbnails.encoded(self._decoded(index), SIDES[kind], _QUALITY)
        return found if kind == 'whole' else self._keep(key, found)

    def facts(self, index):
        """The `Facts` of a picture as it is now; one that was replaced is decoded anew."""
        try:
            digest = decisions.digest(self._examples, index)
        except InputError as error:
            self._forget(index)
            return Facts(0, 0, '', str(error))
        known = self._facts.get(index)
        if known is None or known.digest != digest:
            self._forget(index)
            try:
                image = self._decoded(index)
                known = Facts(*map(int, image.shape[:2]), digest, '')
                self._keep((index, 'large'), thumbnails.encoded(image, SIDES['large'], _QUALITY))
            except InputError as error:
                known = Facts(0, 0, digest, str(error))
            self._facts[index] = known
        return known

    def digest(self, index):
        """SHA-256 of a picture; '' if it cannot be read. Nothing is decoded."""
        try:
            return decisions.digest(self._examples, index)
        except InputError:
            return ''

    def _keep(self, key, found):
        with self._lock:
            if key not in self._kept:
                self._kept[key] = found
                self._bytes += len(found[0])
            while self._bytes > _KEPT:
                old, data = self._kept.popitem(last=False)
                self._bytes -= len(data[0])
                self._facts.pop(old[0], None)
        return found

    def _forget(self, index):
        with self._lock:
            self._facts.pop(index, None)
            for kind in SIDES:
                if (index, kind) in self._kept:
                    self._bytes -= len(self._kept.pop((index, kind))[0])

    def _decoded(self, index):
        try:
            with tf.device('/CPU:0'):
                return thumbnails.pixels(self._examples, index, self._max_pixels)
        except tf.errors.OpError as error:
            raise InputError(f'{self._examples.name(index)}: {error.message}; expected an image '
                             'that can be decoded.') from error
