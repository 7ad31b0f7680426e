"""Every format that a catalogue may hold decodes to the pixels that Pillow sees."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.data.images import decode
from tests.data.pictures import encoded, picture

decode_graph = tf.function(decode.decode, input_signature=[tf.TensorSpec([], tf.string)])
PICTURE = picture()
CLEAR = PICTURE.copy()
CLEAR.putalpha(Image.linear_gradient('L').resize(PICTURE.size))


def pillow(data):
    """What Pillow sees, laid on white."""
    image = Image.open(io.BytesIO(data)).convert('RGBA')
    return np.asarray(Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image))[..., :3]


SAME = {
    'jpeg': encoded(PICTURE),
    'progressive': encoded(PICTURE, progressive=True),
    'grey jpeg': encoded(PICTURE.convert('L')),
    'png': encoded(PICTURE, 'PNG'),
    'palette png': encoded(PICTURE.quantize(16), 'PNG'),
    'palette with clear colour': encoded(PICTURE.quantize(16), 'PNG', transparency=3),
    'grey png': encoded(PICTURE.convert('L'), 'PNG'),
    'grey with alpha': encoded(CLEAR.convert('LA'), 'PNG'),
    'png with alpha': encoded(CLEAR, 'PNG'),
    'bits': encoded(PICTURE.convert('1'), 'PNG'),
    'webp': encoded(PICTURE, 'WEBP'),
    'webp with alpha': encoded(CLEAR, 'WEBP', lossless=True, exact=True),
    'lossy webp with alpha': encoded(CLEAR, 'WEBP'),
    'webp animation with alpha': encoded(CLEAR, 'WEBP', save_all=True, append_images=[
        CLEAR.rotate(180)], lossless=True, exact=True),
    'gif': encoded(PICTURE, 'GIF'),
    'gif animation': encoded(PICTURE, 'GIF', save_all=True, append_images=[PICTURE.rotate(180)]),
    'bmp': encoded(PICTURE, 'BMP'),
    'grey bmp': encoded(PICTURE.convert('L'), 'BMP'),
    'palette bmp': encoded(PICTURE.quantize(16), 'BMP'),
}


@pytest.mark.parametrize('name', SAME)
def test_decodes_as_pillow_does(name):
    image = decode_graph(SAME[name]).numpy()
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, pillow(SAME[name]), atol=1)


def test_adobe_cmyk_is_not_inverted():
    data = encoded(PICTURE.convert('CMYK'))
    assert b'Adobe' in data[:40]
    assert np.abs(decode_graph(data).numpy() - np.asarray(PICTURE, float)).mean() < 4


def test_sixteen_bits_keep_the_high_byte():
    grey = np.asarray(PICTURE.convert('L'))
    data = encoded(Image.fromarray(grey.astype(np.uint16) * 256 + 255), 'PNG')
    np.testing.assert_array_equal(decode_graph(data).numpy(), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('turn', range(1, 9))
def test_exif_orientation(turn, order):
    from PIL import ImageOps
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112] = 'maker', turn
    data = encoded(PICTURE, exif=exif)
    assert decode.orientation(data) == turn
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_graph(data).numpy(), wanted)
    assert bool(decode.is_plain_jpeg(data)) == (turn == 1)


def test_no_exif_is_upright():
    assert decode.orientation(SAME['jpeg']) == 1
    assert decode.orientation(b'') == 1


@pytest.mark.parametrize('name', ['jpeg', 'png', 'gif', 'bmp', 'webp', 'webp with alpha',
                                  'lossy webp with alpha', 'progressive'])
def test_size_is_known_before_decoding(name):
    pixels = PICTURE.width * PICTURE.height
    assert decode.decode(SAME[name], pixels).shape == (PICTURE.height, PICTURE.width, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match='too many pixels'):
        decode.decode(SAME[name], pixels - 1)


def test_bomb_is_not_decoded():
    data = bytearray(encoded(PICTURE.convert('L'), 'PNG'))
    data[16:24] = (60_000).to_bytes(4, 'big') * 2  # 3.6 gigapixels, if the header were believed
    with pytest.raises(tf.errors.InvalidArgumentError, match='too many pixels'):
        decode_graph_limited(bytes(data))


decode_graph_limited = tf.function(lambda data: decode.decode(data, 10**8),
                                   input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize('data', [
    b'', b'\xff', b'\xff\xd8\xff', b'RIFF', b'BM', b'GIF89a', b'\x89PNG', b'<html>no image</html>',
    SAME['jpeg'][:-2], SAME['jpeg'][:len(SAME['jpeg']) // 2], SAME['png'][:500],
    SAME['webp'][:500], SAME['palette bmp'][:200]])
def test_what_is_no_whole_image_fails(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_graph(data)


def test_opaque_animation_fails_and_does_not_crash():
    data = encoded(PICTURE, 'WEBP', save_all=True, append_images=[PICTURE.rotate(180)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_graph(data)


@pytest.mark.parametrize('ratio', [1, 2, 4, 8])
def test_window_of_a_jpeg(ratio):
    data = encoded(picture(400, 480, 3))
    whole = decode.decode(data).numpy().astype(float)
    top, left, height, width = 32, 64, 320, 240
    part = decode.jpeg_window(data, tf.constant([top, left, height, width]), ratio).numpy()
    assert part.shape == (height // ratio, width // ratio, 3)
    wanted = whole[top:top + height, left:left + width]
    wanted = wanted.reshape(height // ratio, ratio, width // ratio, ratio, 3).mean((1, 3))
    assert np.abs(part - wanted).mean() < 1.5
    assert np.abs(part - wanted)[2:-2, 2:-2].max() < 16
