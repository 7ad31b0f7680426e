"""Examples → batches, by tf.data: positions → sampler → load → crop → augment → batch."""

import math
from typing import NamedTuple

import tensorflow as tf

from bsce_tf import fields
from bsce_tf.data import loading
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.images import augment, crops, decode, mixing
from bsce_tf.errors import InputError

# Streams of random numbers, one per use. Append new ones, so that old runs keep their numbers.
_MOST_STREAMS = 16
_STREAMS = ('crop', 'flip', 'vertical_flip', 'colours', 'policy', 'erasing', 'mix')

_CHUNK_BYTES = 32 * 2**20  # test-time crops that a thread makes at once


class Batch(NamedTuple):
    """What `evaluation` yields.

    Attributes:
      crops: tuple with uint8 `[n, scales, C, C, channels]` for each view.
      labels: int32 `[n]`; −1 where they are not known.
      weights: float32 `[n]`: 1, or 0 for an image that does not count: a bad one, whose crops are
        black, or padding.
      indices: int64 `[n]`, places in the examples.
    """

    crops: tuple
    labels: tf.Tensor
    weights: tf.Tensor
    indices: tf.Tensor


@tf.autograph.experimental.do_not_convert  # there is no Python control flow in it
def training(examples, sampler, view, *, batch_size, augmentation=None, seed=0, start=0,
             shard=(0, 1), bad=None, numbered=False):
    """Endless training batches; batch s holds positions s·batch_size … of the run.

    The n-th example, its crop, its augmentation and its MixUp partner depend on seed and n only.

    Args:
      examples: a labelled `Examples`.
      sampler: maps int64 positions `[n]` to indices `[n]`; see `sampler.Sampler`.
      view: a `View` with a training crop.
      batch_size: global batch, over all workers.
      augmentation: an `augment.Augmentation`; None: none.
      seed: of crops and augmentation.
      start: step to begin with.
      shard: (worker, workers); every worker makes its slice of each global batch.
      bad: a `BadImages`, None: a bad image stops the run; put `bad.raising()` around `fit`.
      numbered: whether batches also give the indices of the images, int64 `[share]`; not with
        MixUp or CutMix. The index stays that of a bad image though another image replaces it.

    Returns:
      Dataset of (uint8 `[share, C, C, channels]`, int32 `[share]`), share = batch_size / workers;
      with MixUp or CutMix the labels are float32 `[share, K]`.

    Raises:
      InputError: if an argument is out of range.
    """
    worker, workers = shard
    share = _share(batch_size, workers)
    fields.check('image.crop', view.crop)
    augmentation = augmentation or augment.NONE
    _check_augmentation(augmentation, examples, share)
    make = _training_images(examples, view, augment.build(augmentation), bad or BadImages())
    labels = tf.constant(examples.labels)

    def positions_of(step):
        return step * batch_size + worker * share + tf.range(share, dtype=tf.int64)

    def labelled(positions, indices, *data):
        images = make(tf.fill(tf.shape(positions), tf.constant(seed, tf.int64)), positions,
                      indices, *data)
        found = positions, images, tf.gather(labels, indices)
        return (*found, indices) if numbered else found

    def mixed(positions, images, pair):
        mix_seed = _seeds(tf.constant(seed, tf.int64), positions[0])('mix')
        return mixing.mix(images, pair, mix_seed, augmentation.mixup, augmentation.cutmix)

    steps = tf.data.Dataset.range(start, tf.int64.max)
    numbers = steps.map(positions_of).map(lambda p: (p, sampler(p))).unbatch()
    chunk = loading.chunk(share, loading.most(examples))
    numbers = loading.read(numbers.batch(chunk, drop_remainder=True), examples, chunk)
    chunks = loading.on_cores(numbers, labelled)
    if not augmentation.mixes:
        return loading.batches(chunks.map(lambda _, *parts: parts), share, chunk)
    pairs = loading.on_cores(chunks.unbatch().batch(2), mixed).unbatch()
    batches = pairs.batch(share, drop_remainder=True)
    return loading.finished(loading.on_cores(batches, lambda images, labels, part: (
        images, mixing.soft_labels(labels, part, examples.num_classes))))


@tf.autograph.experimental.do_not_convert
def evaluation(examples, views, batch_size, bad=None, *, start=0, end=None, shard=(0, 1),
               full=False):
    """Every image from `start` to `end` once, in order, read and decoded once for all views.

    Args:
      examples: an `Examples`.
      views: list of `View`, at least one.
      batch_size: global; the last batch may be short.
      bad: as in `training`, with `bad.raising()` around what runs it.
      start: first image, a multiple of `batch_size`; so batches are the same whatever it is.
      end: the image after the last one; None: all.
      shard: (worker, workers); every worker makes its slice of each global batch.
      full: whether to pad the last batch, with the last image at weight 0. Needed with several
        workers, which must have equally many batches, and with several replicas, none of which may
        get an empty part.

    Returns:
      Dataset of `Batch`.

    Raises:
      InputError: if the workers cannot share a batch.
    """
    worker, workers = shard
    share = _share(batch_size, workers)
    end = len(examples) if end is None else end
    make = _centres(examples, views, bad or BadImages())
    labels = tf.constant(examples.labels)

    def made(counts, indices, *data):
        crops, good = make(indices, *data)
        return Batch(crops, tf.gather(labels, indices), tf.cast(good, tf.float32) * counts, indices)

    whole = -(-(end - start) // batch_size)
    places = tf.data.Dataset.range(start, end)
    if full:
        places = tf.data.Dataset.range(whole).map(
            lambda step: start + step * batch_size + worker * share + tf.range(
                share, dtype=tf.int64)).unbatch()
    crops_of = max(_CHUNK_BYTES // sum(math.prod(view.shape) for view in views), 1)
    chunk = loading.chunk(share, min(crops_of, loading.most(examples)))
    numbers = places.batch(chunk, drop_remainder=full).map(
        lambda i: (tf.cast(i < end, tf.float32), tf.minimum(i, end - 1)))
    chunks = loading.on_cores(loading.read(numbers, examples, chunk), made)
    return loading.batches(chunks, share, chunk, drop_remainder=full).apply(
        tf.data.experimental.assert_cardinality(whole))  # TensorFlow cannot count after unbatch


def _share(batch_size, workers):
    """Images of a batch that a worker makes."""
    if batch_size < 1 or batch_size % workers:
        raise InputError(f'batch_size: found {batch_size}; expected a multiple of {workers}.')
    return batch_size // workers


def _check_augmentation(augmentation, examples, share):
    if augmentation.mixes and share % 2:
        raise InputError(f'batch_size: found {share} images a worker; expected an even number with '
                         'augment.mixup or augment.cutmix, which mix pairs.')
    if examples.channels != 3 and (augmentation.colours or augmentation.policy != 'none'):
        raise InputError(f'augment: found images of {examples.channels} channels; expected 3 '
                         'for colour jitter and policies.')


def _training_images(examples, view, change, bad):
    """Function (seeds, positions, indices, encoded images if there are) → uint8 images."""
    if examples.images is not None:
        images = tf.constant(examples.images)

        def crop_decoded(seed, position, index):
            seeds = _seeds(seed, position)
            box = view.box(tf.shape(images)[1:3], seeds('crop'))
            image = crops.resize_box(images[index], box, view.size, view.antialias)
            return change(crops.to_uint8(image), seeds)

        return lambda *parts: tf.map_fn(lambda part: crop_decoded(*part), parts,
                                        fn_output_signature=tf.uint8)

    @tf.function(autograph=False)  # traced once for both uses
    def crop(encoded, seed, position):
        seeds = _seeds(seed, position)
        image = crops.crop_encoded(encoded, lambda shape: view.box(shape, seeds('crop')),
                                   view.size, view.antialias, bad.max_pixels)
        return change(crops.to_uint8(image), seeds)

    def own(seed, position, index, data):
        return [crop(data, seed, position)]

    def other(seed, position, index, data):
        encoded = tf.numpy_function(lambda i, p: bad.replacement(examples, i, p),
                                    [index, position], tf.string)
        return [crop(tf.ensure_shape(encoded, []), seed, position)]

    shapes = [(view.size, view.size, 3)]
    return lambda *parts: loading.with_fallback(own, other, parts, shapes)[0][0]


def _centres(examples, views, bad):
    """Function (indices, encoded images if there are) → (tuple of crops, bool `[n]`: good)."""
    if examples.images is not None:
        images = tf.constant(examples.images)
        return lambda indices: (
            tf.map_fn(lambda index: tuple(view.centre(images[index]) for view in views), indices,
                      fn_output_signature=(tf.uint8,) * len(views)),
            tf.ones(tf.shape(indices), bool))

    def decoded(index, data):
        image = decode.decode_in_pipeline(data, bad.max_pixels)
        return [view.centre(image) for view in views]

    def black(index, data):
        good = tf.numpy_function(lambda i: bad.leave_out(examples, i), [index], tf.bool)
        with tf.control_dependencies([tf.debugging.Assert(~good, ['failed once; try again'])]):
            return [tf.zeros(view.shape, tf.uint8) for view in views]

    shapes = [view.shape for view in views]
    return lambda *parts: loading.with_fallback(decoded, black, parts, shapes)


def _seeds(seed, position):
    """Function of a stream's name → its int64 seed `[2]`, for the run's seed and a position."""
    return lambda use: tf.stack([seed, position * _MOST_STREAMS + _STREAMS.index(use)])
