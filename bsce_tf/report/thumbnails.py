"""Images as the program decodes them, encoded for a browser; thumbnails as data: URIs."""

import base64

import tensorflow as tf

from bsce_tf.data.images import decode
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, StorageError
from bsce_tf.report.markup import element

SIDE = 112  # of the longer side in pixels, at most
_SMALL = 64  # up to this side a thumbnail is PNG, and JPEG above
_QUALITY = 80


class Thumbnails:
    """Makes the thumbnails of a report; each image is read once.

    Args:
      max_pixels: larger images are not decoded; 0 for no limit.
    """

    def __init__(self, max_pixels=0):
        self._max_pixels = max_pixels
        self._made = {}

    def uri(self, examples, index):
        """(data: URI, None), or (None, reason) if the image cannot be read."""
        key = id(examples), int(index)
        if key not in self._made:
            try:
                with tf.device('/CPU:0'):
                    self._made[key] = examples, _uri(pixels(examples, index,
                                                            self._max_pixels)), None
            except (InputError, StorageError) as error:
                self._made[key] = examples, None, str(error)
            except tf.errors.OpError as error:
                self._made[key] = examples, None, error.message
        return self._made[key][1:]

    def image(self, examples, index, alt):
        """The `<img>`, or a box saying that the image cannot be read."""
        uri, reason = self.uri(examples, index)
        if uri is None:
            return element('span', 'cannot be read', class_='unreadable', title=reason)
        return element('img', src=uri, alt=alt)


def pixels(examples, index, max_pixels=0):
    """uint8 tensor `[height, width, channels]` of one image, upright, see `decode.decode`.

    Raises:
      InputError: if the image cannot be read.
      tf.errors.OpError: if it cannot be decoded, or has more than `max_pixels`.
    """
    if examples.images is not None:
        return tf.constant(examples.images[index])
    data = records.of(examples).read([index])[0]
    return decode.decode(tf.constant(data), max_pixels)


def encoded(image, side, quality=_QUALITY):
    """(bytes, 'png' or 'jpeg') of an image, shrunk if it is larger.

    Args:
      image: uint8 tensor `[height, width, channels]`.
      side: of the longer side in pixels, at most.
      quality: of a JPEG; up to 64 pixels it is a PNG.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > side:
        size = [max(round(length * side / longer), 1) for length in (height, width)]
        image = tf.image.resize(image, size, method='area')
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    if longer <= _SMALL:
        return tf.io.encode_png(image).numpy(), 'png'
    return tf.io.encode_jpeg(image, quality=quality, optimize_size=True).numpy(), 'jpeg'


def _uri(image):
    data, kind = encoded(image, SIDE)
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
