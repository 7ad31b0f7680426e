"""On which images the threshold for unknown products is chosen, and what is told of it."""

import types

import numpy as np
import pytest

from bsce_tf.evaluation.neighbours import unknown
from tests.smoke import smoke


@pytest.mark.parametrize(('references', 'kind'), [
    ([3, 3, 0, 0], 'classes'), ([3, 3, 3, 3], 'own class left out')])
def test_a_threshold_without_unknown_classes_is_warned_of(references, kind, monkeypatch, caplog):
    images = types.SimpleNamespace(
        also_in_index=0, references=np.array(references), labels=np.arange(4),
        cosines=np.float32([0.9, 0.8, 0.3, 0.2]), vectors=np.zeros((4, 2), np.float32))
    answerer = types.SimpleNamespace(index=types.SimpleNamespace(folder='shop/index'))
    monkeypatch.setattr(unknown, 'nearest_others', lambda *_: np.float32([0.3, 0.2]))
    monkeypatch.setattr(unknown.open_set, 'write', lambda *_: None)
    found = unknown.measure(smoke(), None, answerer, None, images, None, 'validation')
    assert found['unknown'] == kind
    told = 'whose own class is left out, as none is of a class that shop/index lacks'
    assert (told in caplog.text) == (kind != 'classes')
