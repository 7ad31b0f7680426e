"""Bombs, broken files and odd ones, with what every part of the program must say of them."""

import struct
import zlib

from tests.data.pictures import encoded, picture

LIMIT = 100_000_000  # the default of data.max_pixels
_PICTURE = picture(64, 64)
_PALETTE = _PICTURE.quantize(16)


def _png_bomb(side):
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack(
            '>I', zlib.crc32(name + data))
    rows = zlib.compress(bytes(3 * side + 1) * 20)
    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows)
            + chunk(b'IEND', b''))


def _patched(data, place, values):
    return data[:place] + values + data[place + len(values):]


def _gif(canvas=None, frame=None, transparency=3):
    data = encoded(_PALETTE, 'GIF', transparency=transparency)
    if canvas:
        data = _patched(data, 6, struct.pack('<HH', *canvas))
    if frame:
        place = data.index(b'\x2c\0\0\0\0\x40\0\x40\0')
        data = _patched(data, place + 5, struct.pack('<HH', *frame))
    return data


_JPEG, _BMP, _WEBP = (encoded(_PICTURE, kind) for kind in ('JPEG', 'BMP', 'WEBP'))
_ANIMATION = {'save_all': True, 'append_images': [_PICTURE.rotate(180)] * 3}
_SOF = _JPEG.index(b'\xff\xc0')

GOOD = {
    'jpeg': _JPEG,
    'zeroed jpeg': _patched(_JPEG, len(_JPEG) // 2, bytes(100)),  # decodes, with a warning
    'bytes after the end': _JPEG + b'\xff\xd9',
    'gif on a larger canvas': _gif(canvas=(300, 200)),
    'gif animation': encoded(_PICTURE, 'GIF', **_ANIMATION),
    'gif cut after its first frame': encoded(_PICTURE, 'GIF', **_ANIMATION)[:-300],
    'webp animation': encoded(_PICTURE, 'WEBP', **_ANIMATION),
    'apng': encoded(_PICTURE, 'PNG', **_ANIMATION),
    'bits bmp': encoded(_PICTURE.convert('1'), 'BMP'),
    'bmp from the top': _patched(_BMP, 22, struct.pack('<i', -64)),
}
BAD = {
    'empty': b'',
    'text': b'no image at all',
    'jpeg, cut': _JPEG[:-2],
    'jpeg bomb': _patched(_JPEG, _SOF + 5, b'\xff\xff\xff\xff'),
    'png, cut': encoded(_PICTURE, 'PNG')[:900],
    'png bomb': _png_bomb(20_000),
    'gif, cut': _gif()[:-30],
    'gif without a frame': _gif()[:13 + 48] + b'\x3b',
    'gif bomb of canvas': _gif(canvas=(12_000, 12_000)),
    'gif bomb of frame': _gif(frame=(12_000, 12_000)),
    'bmp, cut': _BMP[:-5],
    'bmp bomb': _patched(_BMP, 18, struct.pack('<ii', 2**31 - 1, -2**31)),
    'run-length bmp': _patched(encoded(_PALETTE, 'BMP'), 30, b'\x01'),
    'webp, cut': _WEBP[:-40],
    'webp bomb': _patched(encoded(_PICTURE, 'WEBP', **_ANIMATION), 24, b'\xff\x3f\0\xff\x3f\0'),
}
