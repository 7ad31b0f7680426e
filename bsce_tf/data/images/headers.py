"""Format, width and height of an encoded image from its first bytes, without decoding it."""

import contextlib
import struct
from typing import NamedTuple


class Header(NamedTuple):
    """What the first bytes of an image say.

    Attributes:
      format: JPEG, PNG, GIF, BMP or WebP.
      width: in pixels; 0 if the header is damaged or cut off before it tells.
      height: in pixels, likewise.
    """

    format: str
    width: int
    height: int


def read(data):
    """Reads the header of an encoded image.

    Args:
      data: bytes of the whole file, or enough of its start.

    Returns:
      `Header`, or None if the bytes are not of one of the five formats.
    """
    name = _format(data)
    if name is None:
        return None
    try:
        width, height = _SIZES[name](data)
    except (struct.error, IndexError):
        width = height = 0
    return Header(name, width, height)


def _format(data):
    for name, magic in _MAGIC.items():
        if data.startswith(magic):
            return name
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return 'WebP'
    return None


_MAGIC = {
    'JPEG': b'\xff\xd8\xff',
    'PNG': b'\x89PNG\r\n\x1a\n',
    'GIF': (b'GIF87a', b'GIF89a'),
    'BMP': b'BM',
}

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 … SOF15 without DHT, JPG, DAC


def _jpeg(data):
    at = 2
    while True:
        while data[at] != 0xFF:  # libjpeg, too, skips stray bytes between segments
            at += 1
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker in _FRAMES:
            height, width = struct.unpack_from('>HH', data, at + 3)
            return width, height
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return 0, 0
        if marker not in _STANDALONE:
            at += struct.unpack_from('>H', data, at)[0]


def _png(data):
    return struct.unpack_from('>II', data, 16)


def _gif(data):
    """The largest of the canvas and the frames: any of them makes a decoder take memory."""
    width, height = struct.unpack_from('<HH', data, 6)
    for left, top, frame_width, frame_height in _gif_frames(data):
        width = max(width, left + frame_width)
        height = max(height, top + frame_height)
    return width, height


def _bmp(data):
    if struct.unpack_from('<I', data, 14)[0] == 12:  # OS/2 header
        return struct.unpack_from('<HH', data, 18)
    width, height = struct.unpack_from('<ii', data, 18)
    return abs(width), abs(height)  # negative height: rows from the top


def _webp(data):
    chunk = data[12:16]
    if chunk == b'VP8X':
        width, height = data[24:27], data[27:30]
        if len(height) < 3:
            return 0, 0
        return int.from_bytes(width, 'little') + 1, int.from_bytes(height, 'little') + 1
    if chunk == b'VP8L':
        bits = struct.unpack_from('<I', data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b'VP8 ':
        width, height = struct.unpack_from('<HH', data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


_SIZES = {'JPEG': _jpeg, 'PNG': _png, 'GIF': _gif, 'BMP': _bmp, 'WebP': _webp}


def gif_is_whole(data):
    """Whether the blocks of a GIF follow each other to its trailer, so that none is cut off."""
    try:
        return _gif_walk(data, [])
    except (struct.error, IndexError):
        return False


def _gif_frames(data):
    frames = []
    with contextlib.suppress(struct.error, IndexError):  # cut off: the frames before it count
        _gif_walk(data, frames)
    return frames


def _gif_walk(data, frames):
    """Adds (left, top, width, height) of every frame to `frames`; True at the trailer."""
    at = 13 + _colour_table(data[10])
    while True:
        block = data[at]
        if block == 0x3B:
            return True
        if block == 0x2C:
            frames.append(struct.unpack_from('<HHHH', data, at + 1))
            at += 10 + _colour_table(data[at + 9]) + 1
        elif block == 0x21:
            at += 2
        else:
            return False
        while data[at]:
            at += data[at] + 1
        at += 1


def _colour_table(flags):
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
