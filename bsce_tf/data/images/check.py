"""Judges whether an encoded image can be used, and why not."""

import re
from typing import NamedTuple

import tensorflow as tf

from bsce_tf.data.images import decode


class Verdict(NamedTuple):
    """What `judge` found.

    Attributes:
      reason: None if the image can be used, else why not, in one line.
      format: one of `decode.FORMATS`; '' where it is none of them.
    """

    reason: str | None
    format: str


def judge(data, max_pixels):
    """Judges one encoded image by decoding it, as training and an exported model do.

    Every byte of an image must be there: a truncated JPEG, which other readers fill up with grey,
    is always bad.

    Args:
      data: bytes of the whole file.
      max_pixels: the most pixels (width × height) that may be decoded; 0 for no limit.

    Returns:
      `Verdict`.
    """
    if not data:
        return Verdict('empty file (0 bytes)', '')
    try:
        with tf.device('/CPU:0'):
            kind, _ = _decode(data, max_pixels)
        return Verdict(None, decode.FORMATS[kind])
    except tf.errors.OpError as error:
        message = _one_line(error.message)
    except UnicodeDecodeError:  # TensorFlow put bytes of the image into its message
        message = ''
    return _explained(data, max_pixels, message)


def reason(data, max_pixels):
    """Why an image cannot be used, in one line; None if it can. See `judge`."""
    return judge(data, max_pixels).reason


def has_header(data):
    """Whether data begin with the header of an image. Decodes nothing."""
    try:
        with tf.device('/CPU:0'):
            kind, shape = (part.numpy().tolist() for part in _header(data))
    except (tf.errors.OpError, UnicodeDecodeError):
        return False
    return kind < len(decode.FORMATS) and min(shape) > 0


def _explained(data, max_pixels, message):
    """The `Verdict` on an image that failed with a message of the decoder."""
    try:
        with tf.device('/CPU:0'):
            kind, (height, width) = (part.numpy().tolist() for part in _header(data))
    except (tf.errors.OpError, UnicodeDecodeError):  # only a JPEG's header raises it
        return Verdict('JPEG whose header is damaged or truncated', 'JPEG')
    if kind == len(decode.FORMATS):
        return Verdict(f'not an image but {_describe(data)}; expected '
                       f'{", ".join(decode.FORMATS[:-1])} or {decode.FORMATS[-1]}', '')
    name = decode.FORMATS[kind]
    if message.startswith(name):  # our own words
        return Verdict(message, name)
    if not width or not height:
        return Verdict(f'{name} whose header is damaged or truncated', name)
    if max_pixels and width * height > max_pixels:
        return Verdict(f'{name} of {width} x {height} = {width * height} pixels; '
                       f'expected at most {max_pixels}', name)
    if _lacks_its_end(name, data):
        return Verdict(f'{name} that is truncated', name)
    return Verdict(f'{name} that does not decode{message and ": "}{message}', name)


# Compiled: op by op, the overhead would exceed the decoding.
@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)],
             autograph=False)
def _decode(data, max_pixels):
    """(kind, image). The image is returned because TensorFlow would else not decode it."""
    return decode.header(data)[1], decode.decode(data, max_pixels)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _header(data):
    return decode.header(data)[1:]


_DESCRIPTIONS = (
    (rb'\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)', 'an HTML page'),
    (rb'\s*(<\?xml.*?>\s*)?(<!--.*?-->\s*)*(<!doctype\s+svg.*?>\s*)?<svg', 'an SVG drawing'),
    (rb'\s*<\?xml', 'an XML text'),
    (rb'\s*[{\[]\s*["{\[]', 'a JSON text'),
    (rb'....ftyp(heic|heix|mif1|msf1)', 'an HEIC image'),
    (rb'....ftypavi[fs]', 'an AVIF image'),
    (rb'(II\*\0|MM\0\*)', 'a TIFF image'),
    (rb'8BPS', 'a Photoshop file'),
    (rb'%PDF', 'a PDF'),
    (rb'PK\x03\x04', 'a ZIP archive'),
    (rb'\x1f\x8b', 'a gzip file'),
    (rb'version https://git-lfs', 'a Git LFS pointer, whose file was not fetched'),
    (rb'\0+$', 'zero bytes throughout'),
)


def _describe(data):
    start = data[:1024].removeprefix(b'\xef\xbb\xbf')
    for pattern, description in _DESCRIPTIONS:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return description
    return f'a file that begins with {data[:8]!r}'


def _lacks_its_end(name, data):
    ends = {'JPEG': b'\xff\xd9', 'PNG': b'IEND'}
    if name in ends:
        return ends[name] not in data[-64:]
    if name == 'WebP':
        return int.from_bytes(data[4:8], 'little') + 8 > len(data)
    return False


def _one_line(message):
    """A TensorFlow message without the traceback and the names of graph nodes around it."""
    message = message.rpartition('\n\n')[2].partition('\n')[0]
    message = re.sub(r'\{\{.*?\}\}|\[Op:\w*\].*', '', message)
    message = re.sub(r'^assertion failed: \[(.*)\]$', r'\1', message.strip())
    return ' '.join(message.split())[:200]
