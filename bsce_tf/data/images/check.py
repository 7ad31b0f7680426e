"""Why an encoded image cannot be used, or that it can."""

import re

import tensorflow as tf

from bsce_tf.data.images import decode, headers


def reason(data, max_pixels):
    """Judges one encoded image: its header first, so that a bomb is never decoded, then all of it.

    An image is bad unless every byte that its format promises is there: a truncated JPEG, which
    other readers fill up with grey, is bad at every length.

    Args:
      data: bytes of the whole file.
      max_pixels: the most pixels (width × height) that may be decoded; 0 for no limit.

    Returns:
      None if the image can be used, else the reason in one line.
    """
    if not data:
        return 'empty file (0 bytes)'
    header = headers.read(data)
    if header is None:
        return f'not an image but {_describe(data)}; expected JPEG, PNG, GIF, BMP or WebP'
    name, width, height = header
    if not width or not height:
        return f'{name} whose header is damaged or truncated'
    if max_pixels and width * height > max_pixels:
        return (f'{name} of {width} x {height} = {width * height} pixels; '
                f'expected at most {max_pixels}')
    if name == 'GIF' and not headers.gif_is_whole(data):
        return 'GIF that is truncated'  # TensorFlow would take the frames before the cut
    try:
        with tf.device('/CPU:0'):
            _decode(data)
    except tf.errors.OpError as error:
        if _lacks_its_end(name, data):
            return f'{name} that is truncated'
        return f'{name} that does not decode: {_one_line(error.message)}'
    except UnicodeDecodeError:  # TensorFlow put bytes of the image into its message
        return f'{name} that does not decode'
    return None


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _decode(data):
    """What training decodes with, compiled: op by op it would take longer than the decoding."""
    return decode.decode(data)


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
    return ' '.join(message.split())[:200] or 'no message from the decoder'
