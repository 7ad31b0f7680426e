"""Windows of resized images: one implementation for training, test-time crops and serving.

Resizing to S × S and then cutting a C × C window samples only that window, so nothing outside of it
is decoded, where the format allows, or computed.

Resizing is bilinear. Without `antialias`, TensorFlow's default, an output pixel blends four input
pixels however much the image shrinks. That is twice as fast, and accurate up to a factor of about
two, as in the paper (800 to 436). For larger images set `antialias`: it blends all pixels that the
output pixel covers.
"""

import math

import tensorflow as tf

from bsce_tf.data.images import decode


def multi_scale(shape, scales, size, seed, aspect='squash'):
    """A random C × C window of the image resized to a random S, as a box in the image itself.

    Args:
      shape: int32 `[2]`, height and width of the image.
      scales: Python ints, candidates for S in pixels, each ≥ `size`; all equally likely.
      size: C, in pixels.
      seed: int tensor `[2]`; the same seed gives the same window.
      aspect: 'squash', resize to S × S, as in the paper; 'keep', the shorter side to S.

    Returns:
      float32 `[4]`: top, left, height and width of the window in pixels of the image.
    """
    draws = tf.random.stateless_uniform([3], seed)
    chosen = tf.cast(draws[0] * len(scales), tf.int32)
    scale = tf.gather(tf.constant(scales, tf.int32), chosen)
    resized = _resized(shape, scale, aspect)
    offset = tf.floor(draws[1:] * (resized - size + 1))
    return _box(shape, resized, offset, size)


def random_resized(shape, area, aspect_ratio, seed):
    """A random part of the image (Szegedy et al. 2015, "Going Deeper with Convolutions").

    The part's share of the area is uniform and its width / height log-uniform in the given ranges.
    The first of ten draws that fits into the image is taken; if none fits, the largest central part
    with an aspect ratio in the range.

    Args:
      shape: int32 `[2]`, height and width of the image.
      area: (least, largest) share of the image's area, above 0, at most 1.
      aspect_ratio: (least, largest) width / height, above 0.
      seed: int tensor `[2]`.

    Returns:
      float32 `[4]`: top, left, height, width in pixels, whole numbers.
    """
    draws = tf.random.stateless_uniform([10, 4], seed)
    shape = tf.cast(shape, tf.float32)
    pixels = shape[0] * shape[1] * (area[0] + draws[:, 0] * (area[1] - area[0]))
    low, high = math.log(aspect_ratio[0]), math.log(aspect_ratio[1])
    ratio = tf.exp(low + draws[:, 1] * (high - low))
    parts = tf.maximum(tf.round(tf.sqrt(tf.stack([pixels / ratio, pixels * ratio], 1))), 1.0)
    fits = tf.reduce_all(parts <= shape, axis=1)
    first = tf.argmax(fits)
    part = parts[first]
    offset = tf.floor(draws[first, 2:] * (shape - part + 1))
    bounds = tf.clip_by_value(shape[1] / shape[0], *aspect_ratio)
    largest = tf.round(tf.minimum(shape, tf.stack([shape[1] / bounds, shape[0] * bounds])))
    central = tf.concat([(shape - largest) // 2, largest], 0)
    return tf.where(fits[first], tf.concat([offset, part], 0), central)


def resize_box(image, box, size, antialias=False):
    """Resizes a part of an image to C × C.

    Args:
      image: uint8 or float tensor `[height, width, channels]`, values 0 … 255.
      box: float32 `[4]`: top, left, height, width in pixels. Where the part is shrunk, it is
        rounded to whole pixels, which is twice as fast.
      size: C, Python int.
      antialias: whether an output pixel blends all the pixels that it covers.

    Returns:
      float32 `[C, C, channels]`, values 0 … 255.
    """
    def shrunk():
        top, left, height, width = tf.unstack(_whole(box, tf.shape(image)))
        return tf.image.resize(image[top:top + height, left:left + width], (size, size),
                               antialias=antialias)

    resized = tf.cond(_shrinks(box, size), shrunk, lambda: _sample(image, box, size, antialias))
    return tf.ensure_shape(resized, [size, size, image.shape[-1]])


def crop_encoded(data, choose, size, antialias=False, max_pixels=0):
    """Decodes only as much of an image as a crop needs, and resizes it to C × C.

    A JPEG is decoded only within the crop's box. Where the box is at least 2, 4 or 8 times larger
    than the result, it is decoded at 1/2, 1/4 or 1/8 of its size (reduced in the frequency domain,
    which averages pixels). Every other image is decoded whole, as by `decode.decode`.

    Args:
      data: scalar string tensor, the whole file.
      choose: function of int32 `[2]` (height, width) that returns the box, float32 `[4]`.
      size: C, Python int.
      antialias: as in `resize_box`.
      max_pixels: as in `decode.decode`.

    Returns:
      float32 `[C, C, 3]`, values 0 … 255.

    Raises:
      tf.errors.InvalidArgumentError: as `decode.decode`.
    """
    # A call, because the ops of an untaken branch, if inlined, would still cost time.
    @tf.function(autograph=False, experimental_attributes={'_noinline': True})
    def whole():
        image = decode.decode_in_pipeline(data, max_pixels)
        return resize_box(image, choose(tf.shape(image)[:2]), size, antialias)

    def part():
        with tf.control_dependencies(decode.check_size(shape, max_pixels)):
            window = _whole(box, shape)
        times = tf.reduce_min(window[2:]) // size
        return tf.image.resize(decode.jpeg_window(data, window, times), (size, size),
                               antialias=antialias)

    partly = decode.is_plain_jpeg(data)
    shape = tf.cond(partly, lambda: tf.io.extract_jpeg_shape(data)[:2],
                    lambda: tf.ones([2], tf.int32))
    box = choose(shape)
    return tf.ensure_shape(tf.cond(partly & _shrinks(box, size), part, whole), [size, size, 3])


def centre_crops(image, scales, size, aspect='squash', antialias=False):
    """Central C × C windows of one image resized to several scales.

    Equal within 0.05 of 255 to `tf.image.resize` with the same `antialias`, then the window.

    Args:
      image: uint8 or float tensor `[height, width, channels]`, values 0 … 255.
      scales: Python ints S, each ≥ `size`.
      size: C, Python int, in pixels.
      aspect: 'squash', resize to S × S; 'keep', the shorter side to S.
      antialias: as in `resize_box`.

    Returns:
      float32 `[len(scales), C, C, channels]`, values 0 … 255.
    """
    shape = tf.shape(image)[:2]
    windows = []
    for scale in scales:
        resized = _resized(shape, scale, aspect)
        offset = (resized - size) // 2
        windows.append(_sample(image, _box(shape, resized, offset, size), size, antialias))
    return tf.stack(windows)


def to_uint8(image):
    """Rounds float values 0 … 255 to uint8."""
    return tf.cast(image + 0.5, tf.uint8)


def _resized(shape, scale, aspect):
    """float32 `[2]`: height and width after resizing to `scale`."""
    scale = tf.cast(scale, tf.float32)
    if aspect == 'squash':
        return tf.fill([2], scale)
    shape = tf.cast(shape, tf.float32)
    return tf.round(shape * (scale / tf.reduce_min(shape)))


def _box(shape, resized, offset, size):
    ratio = tf.cast(shape, tf.float32) / resized
    return tf.concat([offset * ratio, size * ratio], 0)


def _shrinks(box, size):
    return tf.reduce_all(box[2:] >= size)


def _whole(box, shape):
    """int32 `[4]`: the box in whole pixels, inside of the image."""
    length = tf.minimum(tf.cast(tf.round(box[2:]), tf.int32), shape[:2])
    start = tf.minimum(tf.cast(tf.round(box[:2]), tf.int32), shape[:2] - length)
    return tf.concat([start, length], 0)


def _sample(image, box, size, antialias):
    """Bilinear samples at the centres of C × C cells of the box: float32 `[C, C, channels]`."""
    scale = size / box[2:]
    return tf.raw_ops.ScaleAndTranslate(
        images=image[None], size=(size, size), scale=scale, translation=-box[:2] * scale,
        kernel_type='triangle', antialias=antialias)[0]
