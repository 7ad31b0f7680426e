import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bsce_tf.data.images.check import judge, reason
from tests.data.pictures import encoded, picture

LIMIT = 10_000


def _picture(height=6, width=9):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def _encode(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _files():
    picture = _picture()
    grey = picture.convert('L')
    small = _encode(grey, 'JPEG', optimize=True)
    return {
        'jpeg': _encode(picture, 'JPEG', optimize=True),
        'jpeg progressive': _encode(picture, 'JPEG', optimize=True, progressive=True),
        'jpeg grey': _encode(grey, 'JPEG', optimize=True),
        'jpeg cmyk': _encode(picture.convert('CMYK'), 'JPEG', optimize=True),
        'jpeg with a thumbnail': _encode(picture, 'JPEG', optimize=True, exif=b'Exif\0\0' + small),
        'png': _encode(picture, 'PNG'),
        'png palette': _encode(picture.convert('P'), 'PNG'),
        'png alpha': _encode(picture.convert('RGBA'), 'PNG'),
        'png 16 bit': _encode(Image.fromarray(np.full((6, 9), 999, np.uint16)), 'PNG'),
        'gif': _encode(picture, 'GIF'),
        'gif of two frames': _encode(picture, 'GIF', save_all=True,
                                     append_images=[picture.rotate(180)]),
        'bmp': _encode(picture, 'BMP'),
        'bmp grey': _encode(grey, 'BMP'),
        'bmp palette': _encode(picture.convert('P'), 'BMP'),
        'webp': _encode(picture, 'WEBP'),
        'webp lossless': _encode(picture, 'WEBP', lossless=True),
        'webp alpha': _encode(picture.convert('RGBA'), 'WEBP', exif=b'Exif\0\0'),
    }


FILES = _files()


@pytest.mark.parametrize('kind', FILES)
def test_a_whole_image_is_good_and_a_truncated_one_bad_at_every_length(kind):
    data = FILES[kind]
    assert judge(data, LIMIT).reason is None
    assert judge(data, LIMIT).format.lower() == kind.split()[0]
    lengths = range(len(data))
    if kind in ('bmp grey', 'bmp palette'):  # most of it is a palette, where all lengths are alike
        lengths = [*lengths[:100], *lengths[100:-100:9], *lengths[-100:]]
    good = [length for length in lengths if reason(data[:length], LIMIT) is None]
    # Of an animation only the first frame is looked at, and whether something follows.
    wanted = range(len(FILES['gif']), len(data)) if kind == 'gif of two frames' else []
    assert good == list(wanted)


@pytest.mark.parametrize('kind', FILES)
def test_an_image_of_too_many_pixels_is_bad_by_its_header_alone(kind):
    assert '9 x 6 = 54 pixels; expected at most 53' in reason(FILES[kind], 53)
    assert reason(FILES[kind], 54) is None
    assert reason(FILES[kind], 0) is None


def test_a_decompression_bomb_is_not_decoded():
    """A PNG of 50,000 × 50,000 pixels, whose first rows are there: decoding would take 7.5 GB."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))
    header = struct.pack('>IIBBBBB', 50_000, 50_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b'\0' * 150_001 * 20)
    bomb = (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows)
            + chunk(b'IEND', b''))
    assert 'PNG of 50000 x 50000' in reason(bomb, 100_000_000)


def test_a_gif_whose_frame_is_larger_than_its_canvas_counts_as_large():
    data = bytearray(_encode(_picture(), 'GIF'))
    place = data.index(b'\x2c\0\0\0\0\x09\0\x06\0')
    data[place + 5:place + 9] = struct.pack('<HH', 60_000, 60_000)
    assert 'GIF of 60000 x 60000' in reason(bytes(data), 10**8)


@pytest.mark.parametrize(('data', 'found'), [
    (b'', '0 bytes'),
    (b'<!DOCTYPE html><html><body>Not found</body></html>', 'an HTML page'),
    (b'\n  <HTML lang="en">', 'an HTML page'),
    (b'\xef\xbb\xbf<!-- a --><html>', 'an HTML page'),
    (b'<?xml version="1.0"?><svg xmlns="a"/>', 'an SVG drawing'),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'an XML text'),
    (b'{"error": 404}', 'a JSON text'),
    (b'\0\0\0\x20ftypavif', 'an AVIF image'),
    (b'II*\0\x08\0\0\0', 'a TIFF image'),
    (b'\0' * 5000, 'zero bytes throughout'),
    (b'version https://git-lfs.github.com/spec/v1', 'a Git LFS pointer'),
    (b'hello', "begins with b'hello'"),
    (b'\xff\xd8\xff', 'JPEG whose header is damaged'),
])
def test_says_what_a_file_is_that_is_no_image(data, found):
    assert found in reason(data, LIMIT)


def test_a_damaged_png_is_bad_though_it_has_its_end():
    data = bytearray(FILES['png'])
    data[len(data) // 2] ^= 0xFF
    assert 'does not decode' in reason(bytes(data), LIMIT)


def test_a_jpeg_whose_tail_is_zeros_is_bad():
    data = encoded(picture(64, 64))  # so large that half of it holds more than the header
    half = len(data) // 2
    assert reason(data[:half] + b'\0' * half, LIMIT) == 'JPEG that is truncated'


def test_bytes_after_the_image_do_no_harm():
    assert reason(FILES['jpeg'] + b'\n', LIMIT) is None
    assert reason(FILES['gif'] + b'\0', LIMIT) is None
