"""Every format that a catalogue may hold decodes to the pixels that Pillow sees."""

import io
import itertools
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from bsce_tf.data.images import check, decode, exif, layout
from tests.data.pictures import encoded, picture

decode_graph = tf.function(decode.decode, input_signature=[tf.TensorSpec([], tf.string)])
in_pipeline = tf.function(decode.decode_in_pipeline, input_signature=[
    tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False)
PICTURE = picture()
CLEAR = PICTURE.copy()
CLEAR.putalpha(Image.linear_gradient('L').resize(PICTURE.size))


def pillow(data):
    """What Pillow sees, laid on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGBA')
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
    'transparent gif': encoded(PICTURE.quantize(16), 'GIF', transparency=3),
    'grey gif': encoded(PICTURE.convert('L'), 'GIF'),
    'large gif': encoded(picture(500, 400).quantize(256), 'GIF', interlace=1),
    'transparent gif animation': encoded(
        PICTURE.quantize(16), 'GIF', save_all=True, transparency=3,
        append_images=[PICTURE.rotate(180).quantize(16)]),
    'webp animation': encoded(PICTURE, 'WEBP', save_all=True, append_images=[PICTURE.rotate(180)]),
    'lossless webp animation': encoded(PICTURE, 'WEBP', save_all=True, lossless=True,
                                       append_images=[PICTURE.rotate(180)]),
    'apng': encoded(PICTURE, 'PNG', save_all=True, append_images=[PICTURE.rotate(180)]),
    'bits bmp': encoded(PICTURE.convert('1'), 'BMP'),
}


@pytest.mark.parametrize('name', SAME)
def test_decodes_as_pillow_does(name):
    image = decode_graph(SAME[name]).numpy()
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, pillow(SAME[name]), atol=1)
    np.testing.assert_array_equal(in_pipeline(SAME[name], 0).numpy(), image)


def test_a_pipeline_holds_few_ops():
    """Each pipeline over files would take seconds longer before its first batch."""
    graph = in_pipeline.get_concrete_function().graph.as_graph_def()
    ops = sum(len(function.node_def) for function in graph.library.function)
    assert 300 < ops < 1000, ops  # 3,000 with the ops of all formats


def test_adobe_cmyk_is_not_inverted():
    data = encoded(PICTURE.convert('CMYK'))
    assert b'Adobe' in data[:40]
    assert np.abs(decode_graph(data).numpy() - np.asarray(PICTURE, float)).mean() < 4


def test_sixteen_bits_keep_the_high_byte():
    grey = np.asarray(PICTURE.convert('L'))
    data = encoded(Image.fromarray(grey.astype(np.uint16) * 256 + 255), 'PNG')
    np.testing.assert_array_equal(decode_graph(data).numpy(), np.repeat(grey[..., None], 3, 2))


def tiff(turn, order='<', at=8, kind=3):
    """Exif's bytes with an orientation, whose first directory begins at `at`."""
    value = struct.pack(f'{order}HH' if kind == 3 else f'{order}I', *[turn, 0][:5 - kind])
    return (struct.pack(f'{order}2sHI', b'II' if order == '<' else b'MM', 42, at)
            + b'\0' * (at - 8) + struct.pack(f'{order}H', 2)
            + struct.pack(f'{order}HHII', 0x010F, 2, 4, 0)
            + struct.pack(f'{order}HHI', 0x0112, kind, 1) + value + b'\0' * 4)


def segment(code, data):
    return b'\xff' + bytes([code]) + struct.pack('>H', len(data) + 2) + data


def png_chunk(name, data):
    return (struct.pack('>I', len(data)) + name + data
            + struct.pack('>I', zlib.crc32(name + data)))


def with_exif(kind, content):
    """The picture with these bytes as its Exif."""
    if kind in ('jpeg', 'jpeg after others'):
        others = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0' + b'x' * 60_000) + segment(
            0xE2, b'ICC_PROFILE\0\x01\x01' + b'Exif' * 9000) + b'\xff' + segment(
            0xED, b'Photoshop 3.0\0' + b'\xff\xda' * 5000)
        data = encoded(PICTURE)
        return (data[:2] + (others if kind == 'jpeg after others' else b'')
                + segment(0xE1, b'Exif\0\0' + content) + data[2:])
    data = encoded(PICTURE, 'WEBP' if kind == 'webp' else 'PNG')
    if kind == 'png':
        return data[:33] + png_chunk(b'tEXt', b'k\0eXIf') + png_chunk(b'eXIf', content) + data[33:]
    if kind == 'png, at the end':
        return data[:-12] + png_chunk(b'eXIf', content) + data[-12:]
    return encoded(PICTURE, 'WEBP', exif=content)


# Of one file in a test: the first call after a seed is set takes a second (conftest.py).
@pytest.mark.parametrize('file', ['jpeg', 'jpeg after others', 'png', 'png, at the end', 'webp'])
def test_exif_orientation(file):
    for turn, (order, at, kind) in itertools.product(
            range(1, 9), [('<', 8, 3), ('>', 26, 3), ('>', 8, 4)]):
        data = with_exif(file, tiff(turn, order, at, kind))
        assert Image.open(io.BytesIO(data)).getexif()[0x0112] == turn
        np.testing.assert_array_equal(decode_graph(data).numpy(), pillow(data))
        assert bool(decode.is_plain_jpeg(data)) == (turn == 1 and 'jpeg' in file)


of_png = tf.function(exif.of_png, input_signature=[tf.TensorSpec([], tf.string)])
of_jpeg = tf.function(exif.of_jpeg, input_signature=[tf.TensorSpec([], tf.string)])


def test_exif_after_any_number_of_parts():
    """A part ends within a view of the bytes, at its end, or far beyond it."""
    turned, rng = png_chunk(b'eXIf', tiff(6)), np.random.default_rng(0)
    for sizes in ([0] * 1500, rng.integers(0, 40, 300), rng.integers(0, 600, 100), [9000] * 5):
        data = SAME['png'][:8] + b''.join(png_chunk(b'IDAT', bytes(n)) for n in sizes) + turned
        assert of_png(data) == 6
        assert of_png(data[:-len(turned)] + png_chunk(b'tEXt', turned)) == 1
    data = SAME['png']
    pixels = [data[i:i + 1] for i in range(41, len(data) - 16)][:1209]
    rest = data[41 + len(pixels):-16]
    data = (data[:33] + b''.join(png_chunk(b'IDAT', byte) for byte in [*pixels, rest]) + turned
            + data[-12:])
    np.testing.assert_array_equal(decode_graph(data).numpy(), pillow(data))
    fill = b'\xff' * 5000 + segment(0xFE, b'x') * 2000  # bytes before a marker, and comments
    data = with_exif('jpeg', tiff(8))
    data = data[:2] + fill + data[2:]
    np.testing.assert_array_equal(decode_graph(data).numpy(), pillow(data))


def test_a_hostile_file_is_searched_in_proportion_to_its_bytes():
    """Each view of 256 bytes is one step, though it has 21 chunks, or 256 bytes between markers."""
    empty = SAME['png'][:8] + png_chunk(b'IDAT', b'') * 100_000 + b'eXIf'
    begin = time.process_time()
    assert of_png(empty) == 1
    assert of_jpeg(b'\xff\xd8' + b'\xff' * 1_000_000 + b'Exif\0\0') == 1
    assert time.process_time() - begin < 5  # 0.5 s; chunk by chunk and byte by byte 100 s


def test_damaged_exif_is_upright():
    whole = tiff(6)
    for content in (b'', b'II', tiff(0), tiff(9), whole[:20], b'XX' + whole[2:],
                    whole[:4] + b'\xff' * 4 + whole[8:], whole.replace(b'\x03\0', b'\x02\0')):
        for file in ('jpeg', 'png', 'webp'):
            np.testing.assert_array_equal(decode_graph(with_exif(file, content)).numpy(),
                                          decode_graph(with_exif(file, tiff(1))).numpy())


def test_no_exif_is_upright():
    assert exif.of_jpeg(SAME['jpeg']) == 1
    assert exif.of_jpeg(b'') == 1
    assert exif.of_jpeg(b'\xff\xd8' + b'Exif\0\0' * 50) == 1
    thumbnail = segment(0xE2, with_exif('jpeg', tiff(6))[:900])  # of another program's segment
    assert exif.of_jpeg(SAME['jpeg'][:2] + thumbnail + SAME['jpeg'][2:]) == 1


def bmp(rows, bits, *, size=40, compression=0, masks=(), palette=b'', top=False):
    """A BMP of rows of bytes, whose last one is the lowest; header of `size` bytes."""
    height, width = len(rows), len(rows[0]) * 8 // bits
    rows = [row + b'\0' * (-len(row) % 4) for row in (rows if top else rows[::-1])]
    header = struct.pack('<IiiHHIIiiII', size, width, -height if top else height, 1, bits,
                         compression, 0, 0, 0, 0, 0)
    header += struct.pack(f'<{len(masks)}I', *masks)
    header = header.ljust(max(size, len(header)), b'\0') + palette
    return struct.pack('<2sIII', b'BM', 0, 0, 14 + len(header)) + header + b''.join(rows)


def of_values(values, kind):
    return [row.astype(kind).tobytes() for row in values]


RNG = np.random.default_rng(0)
WORDS = RNG.integers(0, 2**16, (5, 6))
LONGS = RNG.integers(0, 2**32, (5, 6))
PALETTE = RNG.integers(0, 256, (256, 4), np.uint8)
OPAQUE = np.uint32(0xFF000000)
BMPS = {
    '1 bit': bmp(of_values(WORDS, '<u2'), 1, palette=PALETTE[:2].tobytes()),
    '4 bits': bmp(of_values(WORDS, '<u2'), 4, palette=PALETTE[:16].tobytes()),
    '8 bits, from the top': bmp(of_values(WORDS, 'u1'), 8, palette=PALETTE.tobytes(), top=True),
    '16 bits': bmp(of_values(WORDS, '<u2'), 16),
    '16 bits, 5-6-5': bmp(of_values(WORDS, '<u2'), 16, compression=3,
                          masks=(0xF800, 0x7E0, 0x1F)),
    '16 bits, 5-5-5': bmp(of_values(WORDS, '<u2'), 16, compression=3,
                          masks=(0x7C00, 0x3E0, 0x1F)),
    '32 bits': bmp(of_values(LONGS, '<u4'), 32),
    'V5, blue first': bmp(of_values(LONGS, '<u4'), 32, size=124, compression=3,
                          masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    'V5, red first': bmp(of_values(LONGS, '<u4'), 32, size=124, compression=3,
                         masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    'V5, red first, opaque': bmp(of_values(LONGS | OPAQUE, '<u4'), 32, size=124, compression=3,
                                 masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    'masks without alpha': bmp(of_values(LONGS, '<u4'), 32, compression=3,
                               masks=(0xFF000000, 0xFF0000, 0xFF00)),
    'OS/2': b'BM' + struct.pack('<IIIIHHHH', 0, 0, 26, 12, 4, 2, 1, 24) + bytes(range(24)),
}


def test_bmp_as_pillow_has_it():
    for name, data in BMPS.items():
        np.testing.assert_allclose(decode_graph(data).numpy(), pillow(data), atol=1, err_msg=name)


REFUSED = [
    (bmp(of_values(WORDS, 'u1'), 8, compression=1, palette=PALETTE.tobytes()), 'run-length'),
    (bmp(of_values(WORDS, 'u1'), 4, compression=2, palette=PALETTE.tobytes()), 'run-length'),
    (bmp(of_values(LONGS, '<u4'), 32, compression=4), 'unknown compression'),
    (bmp(of_values(WORDS, 'u1'), 2), 'another depth'),
    (bmp(of_values(LONGS, '<u4'), 32, compression=3, masks=(1023 << 20, 1023 << 10, 1023)),
     'whole bytes'),
    (bmp(of_values(WORDS, '<u2'), 16, compression=3, masks=(0xF00, 0xF0, 0xF)), '5-6-5'),
    (bmp(of_values(LONGS, '<u4'), 32)[:-1], 'truncated')]


def test_bmp_that_is_refused_in_our_words():
    for data, words in REFUSED:
        assert words in check.reason(data, 0)
        assert check.reason(data, 0).startswith('BMP ')


def test_first_frame_of_a_gif_lies_on_its_canvas():
    small = encoded(PICTURE.quantize(16), 'GIF', transparency=3)
    data = bytearray(small)
    data[6:10] = struct.pack('<HH', 200, 150)
    place = data.index(b'\x2c\0\0\0\0\xa0\0\x78\0')
    data[place + 1:place + 5] = struct.pack('<HH', 30, 20)
    found = decode_graph(bytes(data)).numpy()
    np.testing.assert_array_equal(found, pillow(bytes(data)))
    assert found.shape == (150, 200, 3)
    assert (found[:20] == 255).all()
    np.testing.assert_array_equal(found[20:140, 30:190], pillow(small))


def test_first_frame_of_a_webp_lies_on_its_canvas():
    still = encoded(PICTURE, 'WEBP')
    frame = (struct.pack('<I', 10)[:3] + struct.pack('<I', 5)[:3] + struct.pack('<I', 159)[:3]
             + struct.pack('<I', 119)[:3] + bytes(4) + still[12:])
    body = b'WEBP'
    for name, content in ((b'VP8X', b'\x12\0\0\0' + struct.pack('<I', 199)[:3]
                           + struct.pack('<I', 149)[:3]), (b'ANIM', bytes(6)), (b'ANMF', frame)):
        body += name + struct.pack('<I', len(content)) + content
    data = b'RIFF' + struct.pack('<I', len(body)) + body
    found = decode_graph(data).numpy()
    np.testing.assert_array_equal(found, pillow(data))
    assert (found[:10] == 255).all()
    np.testing.assert_array_equal(found[10:130, 20:180], pillow(still))


def test_blocks_of_a_gif_end_where_a_walk_from_block_to_block_does():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, [3, 256][seed % 2], [9000, 400][seed % 2])
        data = b'xx' + b''.join(bytes([n]) + rng.bytes(n) for n in sizes) + b'\0' + b'yyy'
        assert layout.blocks_end(tf.constant(data), 2) == len(data) - 3
        assert layout.blocks_end(tf.constant(data[:-4]), 2) > len(data) - 4


@pytest.mark.parametrize('name', ['jpeg', 'png', 'gif', 'bmp', 'webp', 'webp with alpha',
                                  'lossy webp with alpha', 'progressive'])
def test_size_is_known_before_decoding(name):
    pixels = PICTURE.width * PICTURE.height
    assert decode.decode(SAME[name], pixels).shape == (PICTURE.height, PICTURE.width, 3)
    for decoder in (decode.decode, in_pipeline):
        with pytest.raises(tf.errors.InvalidArgumentError, match='too many pixels'):
            decoder(SAME[name], pixels - 1)


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
    for decoder in (decode_graph, lambda data: in_pipeline(data, 0)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoder(data)


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
