"""Shrunk images are what Pillow makes of the upright picture on white; small ones stay."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from bsce_tf.catalogue import shrink
from bsce_tf.errors import InputError
from tests.data.pictures import encoded, picture

SETTINGS = {'side': 40, 'quality': 95, 'max_pixels': 10**6}


def opened(data):
    return PIL.Image.open(io.BytesIO(data))


def smooth(height, width, channels=3):
    """A picture without detail that a JPEG would lose."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / (9 + i)) + np.cos(x / (7 + i)) for i in range(channels)]
    return (127 + 60 * np.stack(waves, -1)).clip(0, 255).astype(np.uint8)


def file_of(pixels, kind, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def turned(pixels, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return file_of(pixels, 'JPEG', quality=98, exif=exif)


def assert_like(data, wanted):
    """Within what one JPEG more changes."""
    found = opened(data)
    assert found.format == 'JPEG'
    assert found.size == wanted.size
    difference = np.abs(np.asarray(found, float) - np.asarray(wanted, float))
    assert difference.mean() < 2
    assert difference.max() < 24


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_a_photograph_is_upright_and_as_pillow_shrinks_it(orientation):
    data = turned(smooth(160, 90), orientation)
    upright = PIL.ImageOps.exif_transpose(opened(data))
    size = (40, 71) if orientation in (1, 3) else (71, 40)
    found = shrink.shrunk(data, **SETTINGS)
    assert_like(found, upright.resize(size, PIL.Image.LANCZOS))
    assert not opened(found).getexif()


def test_transparent_parts_lie_on_white():
    pixels = np.concatenate([smooth(100, 100), np.full((100, 100, 1), 255, np.uint8)], -1)
    pixels[:50, :, 3] = 0
    found = shrink.shrunk(file_of(pixels, 'PNG'), **SETTINGS)
    above = np.asarray(opened(found))[:18]
    assert above.min() > 240
    white = PIL.Image.new('RGBA', (100, 100), 'white')
    white.alpha_composite(PIL.Image.fromarray(pixels))
    assert_like(found, white.convert('RGB').resize((40, 40), PIL.Image.LANCZOS))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'GIF', 'WEBP'])
def test_no_image_is_enlarged_or_written_again_if_it_is_small_enough(kind):
    for shape in ((40, 300), (40, 40), (8, 9)):
        data = file_of(smooth(*shape), kind)
        assert shrink.shrunk(data, **SETTINGS) == data
    assert opened(shrink.shrunk(file_of(smooth(41, 300), kind), **SETTINGS)).size == (293, 40)


def test_quality_is_that_of_the_field():
    data = encoded(picture(90, 90), 'PNG')
    for quality in (30, 90):
        found = opened(shrink.shrunk(data, **{**SETTINGS, 'quality': quality}))
        assert found.quantization == opened(encoded(picture(), quality=quality)).quantization


@pytest.mark.parametrize(('data', 'reason'), [
    (b'<html></html>', 'not an image but an HTML page'), (b'', 'empty file'),
    (encoded(picture(90, 90))[:1000], 'JPEG that is truncated'),
    (encoded(picture(1100, 1100)), '1100 x 1100 = 1210000 pixels; expected at most 1000000')])
def test_a_bad_image_says_why(data, reason):
    found = shrink.shrunk(data, **SETTINGS)
    assert isinstance(found, InputError)
    assert reason in str(found)


def test_an_image_that_could_not_be_read_stays_an_error():
    error = InputError('gone')
    assert shrink.shrunk(error, **SETTINGS) is error
