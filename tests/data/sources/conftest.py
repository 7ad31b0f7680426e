"""Pictures of a shop, which tests put into buckets and on servers."""

import numpy as np
import pytest
from PIL import Image

from tests.data.sources.shop import CLASSES


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    """Folder of <class>/<number>.png, 12 of each class."""
    root, rng = tmp_path_factory.mktemp('shop'), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        (root / name).mkdir()
        for i in range(12):
            picture = rng.integers(0, 60, (30, 30, 3), np.uint8)
            picture[..., k] += 180
            Image.fromarray(picture).save(root / name / f'{i}#.png')
    return root
