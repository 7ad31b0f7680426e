"""A pack that tests of this folder share."""

import pytest

from tests.catalogue import packs


@pytest.fixture
def packed(tmp_path):
    """(examples, folder of their pack)."""
    examples = packs.examples_in(tmp_path / 'images')
    packs.write(examples, tmp_path / 'pack')
    return examples, tmp_path / 'pack'
