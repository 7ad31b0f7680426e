"""Predictions that end in the middle, as when the program is killed."""

import contextlib
import itertools
import unittest.mock

import pytest

from bsce_tf.evaluation import predictors


class KilledError(Exception):
    pass


@contextlib.contextmanager
def killed_after(batches):
    """A prediction within the block has so many batches of answers, and then ends."""
    original = predictors.Runs.answers

    def answers(self, *rest):
        yield from itertools.islice(original(self, *rest), batches)
        raise KilledError

    with unittest.mock.patch.object(predictors.Runs, 'answers', answers), (
            pytest.raises(KilledError)):
        yield
