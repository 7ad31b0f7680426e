"""Thumbnails of images as data: URIs."""

import base64

import tensorflow as tf

from bsce_tf.data import records
from bsce_tf.data.images import decode
from bsce_tf.errors import InputError
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
                    self._made[key] = examples, _uri(self._pixels(examples, index)), None
            except InputError as error:
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

    def _pixels(self, examples, index):
        if examples.images is not None:
            return tf.constant(examples.images[index])
        data = records.of(examples).read([index])[0]
        return decode.decode(tf.constant(data), self._max_pixels)


def _uri(image):
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > SIDE:
        size = [max(round(side * SIDE / longer), 1) for side in (height, width)]
        image = tf.image.resize(image, size, method='area')
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    if longer <= _SMALL:
        kind, data = 'png', tf.io.encode_png(image)
    else:
        kind, data = 'jpeg', tf.io.encode_jpeg(image, quality=_QUALITY, optimize_size=True)
    return f'data:image/{kind};base64,{base64.b64encode(data.numpy()).decode()}'
