"""Images → crops for all models of an ensemble, each image read and decoded once."""

import math
from typing import NamedTuple

import tensorflow as tf

from bsce_tf.data import loading
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.images import crops
from bsce_tf.evaluation import members

_CHUNK_BYTES = 32 * 2**20  # crops that a thread makes at once


class View(NamedTuple):
    """The crops that a model wants; models that want the same share them.

    Attributes:
      scales: sizes that an image is resized to before the centre crop.
      size: C, side of the crop in pixels.
      aspect, antialias: see `crops.centre_crops`.
      channels: 1 or 3.
    """

    scales: tuple
    size: int
    aspect: str
    antialias: bool
    channels: int


class Batch(NamedTuple):
    """What `batches` yields.

    Attributes:
      crops: tuple, for each view uint8 `[n, scales, C, C, channels]`.
      labels: int32 `[n]`; −1 where they are not known.
      weights: float32 `[n]`: 1, or 0 for a bad image, whose crops are black.
      indices: int64 `[n]`, places in the examples.
    """

    crops: tuple
    labels: tf.Tensor
    weights: tf.Tensor
    indices: tf.Tensor


def view_of(member, scales=None):
    """The `View` of a `members.Member`, at its own or at the given scales."""
    return View(tuple(scales or member.scales), member.size, member.aspect, member.antialias,
                member.channels)


def batches(examples, views, batch_size, bad=None, start=0, full=False, end=None):
    """Every image from `start` to `end` once, in order; the last batch may be short.

    Args:
      examples: an `Examples`.
      views: list of `View`, at least one.
      batch_size: images in a batch, at least 1.
      bad: a `BadImages`; None: a bad image stops. Put `bad.raising()` around the loop.
      start: first image, a multiple of `batch_size`; so batches are the same whatever it is.
      full: whether all batches are full: where the images end, the last one comes again with weight
        0. Needed with several replicas, of which none may get an empty part.
      end: the image after the last one; None: all.

    Returns:
      Dataset of `Batch`.

    Raises:
      InputError: if a view is out of range.
    """
    for view in views:
        crops.check(view.size, view.scales, view.aspect)
    shapes = [(len(view.scales), view.size, view.size, view.channels) for view in views]
    lengths = [math.prod(shape) for shape in shapes]
    # The pipeline hands on one square picture an image; so the crops of all views are put in one.
    side = math.ceil(math.sqrt(sum(lengths) / 3))

    def packed(image):
        flat = tf.concat([tf.reshape(members.crops_of(view, image), [-1]) for view in views], 0)
        return tf.reshape(tf.pad(flat, [[0, 3 * side * side - sum(lengths)]]), [side, side, 3])

    make = loading.evaluation_images(examples, packed, side, bad or BadImages())
    labels = tf.constant(examples.labels)

    def chunk_of(counts, indices, *data):
        pictures, weights = make(indices, *data)
        return pictures, tf.gather(labels, indices), weights * counts, indices

    def unpacked(pictures, *rest):
        flat = tf.reshape(pictures, [-1, 3 * side * side])[:, :sum(lengths)]
        parts = tf.split(flat, lengths, axis=1)
        return Batch(tuple(tf.reshape(part, [-1, *shape])
                           for part, shape in zip(parts, shapes, strict=True)), *rest)

    size = batch_size if full else min(batch_size, len(examples))
    chunk = loading.chunk(size, min(max(_CHUNK_BYTES // (3 * side * side), 1), loading.MOST))
    end = len(examples) if end is None else end
    whole, last = -(-(end - start) // size), end - 1
    numbers = tf.data.Dataset.range(start, start + whole * size if full else end).batch(
        chunk).map(lambda i: (tf.cast(i <= last, tf.float32), tf.minimum(i, last)))
    chunks = loading.parallel(loading.read_records(numbers, examples), chunk_of)
    joined = chunks if chunk == size else chunks.unbatch().batch(size)
    return loading.finished(loading.parallel(joined, unpacked)).apply(
        tf.data.experimental.assert_cardinality(whole))
