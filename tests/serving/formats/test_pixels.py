"""The lines of Pillow in the documentation give the pixels that training sees."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.data.images import decode
from tests.serving.exported import encoded

PAGE = pathlib.Path(__file__).parents[3] / 'docs' / 'how-to' / 'other-servers.md'


@pytest.fixture(scope='module')
def pixels():
    """The function that the page defines."""
    (code,) = re.findall(r'```python\n(import numpy.*?)```', PAGE.read_text(), re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    names = {}
    exec(code, names)
    return names['pixels']


def picture(mode='RGB'):
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8), 'RGBA')
    return coarse.resize((61, 47), Image.BICUBIC).convert(mode)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(('name', 'data', 'most'), [
    ('jpeg', encoded(picture(), 'JPEG', quality=90), 0),
    ('grey jpeg', encoded(picture('L'), 'JPEG', quality=80), 0),
    ('444 jpeg', encoded(picture(), 'JPEG', quality=95, subsampling=0), 0),
    ('turned jpeg', encoded(picture(), 'JPEG', exif=turned(6)), 0),
    ('png', encoded(picture()), 0),
    ('transparent png', encoded(picture('RGBA')), 1),
    ('palette png', encoded(picture().quantize(17)), 0),
    ('webp', encoded(picture(), 'WEBP', lossless=True), 0),
    ('gif', encoded(picture().quantize(33), 'GIF'), 0),
    ('bmp', encoded(picture(), 'BMP'), 0),
], ids=lambda value: value if isinstance(value, str) else '')
def test_they_are_the_same(pixels, tmp_path, name, data, most):
    (tmp_path / 'image').write_bytes(data)
    found, own = pixels(tmp_path / 'image'), decode.decode(tf.constant(data)).numpy()
    assert found.shape == own.shape
    assert np.abs(found.astype(int) - own).max() <= most
