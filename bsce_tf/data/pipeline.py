"""Examples → batches, by tf.data: positions → sampler → load → crop → augment → batch."""

import dataclasses

import tensorflow as tf

from bsce_tf import fields
from bsce_tf.data import loading
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.images import augment, crops, mixing
from bsce_tf.errors import InputError

# Streams of random numbers, one for each use; a new use goes to the end, so that old runs stay.
_MOST_STREAMS = 16
_STREAMS = ('crop', 'flip', 'vertical_flip', 'colours', 'policy', 'erasing', 'mix')


def training(examples, sampler, *, batch_size, size, scales, flip=False, seed=0, start=0,
             shard=(0, 1), crop='multi_scale', area=(0.08, 1.0), aspect_ratio=(3 / 4, 4 / 3),
             aspect='squash', antialias=False, augmentation=None, bad=None,
             numbered=False):
    """Endless training batches; batch s holds positions s·batch_size … of the run.

    The n-th example, its crop, its changes and what it is mixed with depend on seed and n only.

    Args:
      examples: a labelled `Examples`.
      sampler: maps int64 positions `[n]` to indices `[n]`; see `sampler.Sampler`.
      batch_size: global batch, over all workers.
      size: C, side of the crop in pixels.
      scales: sizes that the image is resized to before the crop, each ≥ `size`.
      flip: whether to mirror half of the images; the same as `augmentation.flip`.
      seed: of crops and augmentation.
      start: step to begin with.
      shard: (worker, workers); every worker makes its slice of each global batch.
      crop: multi_scale, or random_resized, which takes `area` and `aspect_ratio` for `scales`.
      area: range of the crop's share of the image; see `crops.random_resized`.
      aspect_ratio: range of the crop's width / height.
      aspect: squash or keep; see `crops.multi_scale`.
      antialias: see `crops.resize_box`.
      augmentation: an `augment.Augmentation`; None: no other change than `flip`.
      bad: a `BadImages`, None: a bad image stops the run; put `bad.raising()` around `fit`.
      numbered: whether batches also give the indices of the images, int64 `[share]`; not with
        MixUp or CutMix. A bad image keeps its index, though another stands in its place.

    Returns:
      Dataset of (uint8 `[share, C, C, channels]`, int32 `[share]`), share = batch_size / workers;
      with MixUp or CutMix the labels are float32 `[share, K]`.

    Raises:
      InputError: if an argument is out of range.
    """
    worker, workers = shard
    if batch_size < 1 or batch_size % workers:
        raise InputError(f'batch_size: found {batch_size}; expected a multiple of {workers}.')
    share = batch_size // workers
    augmentation = augmentation or augment.Augmentation()
    augmentation = dataclasses.replace(augmentation, flip=bool(flip or augmentation.flip))
    _check_augmentation(augmentation, examples, share)
    choose = _choose(crop, scales, size, area, aspect_ratio, aspect)
    change = augment.build(augmentation)
    make = _training_images(examples, choose, change, size, antialias, bad or BadImages())
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
    chunk = loading.chunk(share)
    numbers = loading.read_records(numbers.batch(chunk, drop_remainder=True), examples)
    chunks = loading.parallel(numbers, labelled)
    if not augmentation.mixes:
        return loading.batches(chunks.map(lambda _, *parts: parts), share, chunk)
    pairs = loading.parallel(chunks.unbatch().batch(2), mixed).unbatch()
    batches = pairs.batch(share, drop_remainder=True)
    return loading.finished(loading.parallel(batches, lambda images, labels, part: (
        images, mixing.soft_labels(labels, part, examples.num_classes))))


def evaluation(examples, *, batch_size, size, scale, aspect='squash', antialias=False,
               shard=(0, 1), full=False, bad=None):
    """Every image once, in order, centre-cropped; the last batch may be short.

    With several workers each makes its slice of each global batch.

    Args:
      examples: an `Examples`; labels are −1 where they are not known.
      batch_size: images in a batch.
      size: C, side of the crop in pixels.
      scale: S ≥ C, the size that the image is resized to before the crop.
      aspect: squash or keep; see `crops.centre_crops`.
      antialias: see `crops.centre_crops`.
      shard: (worker, workers).
      full: whether all batches are full: where the images end, the last one comes again with weight
        0. Needed with several workers, who must have equally many batches, and with several
        replicas, of which none may get an empty part.
      bad: as in `training`, with `bad.raising()` around what runs it.

    Returns:
      Dataset of (uint8 `[n, C, C, channels]`, int32 `[n]`), n ≤ batch_size / workers. If bad images
      are to be skipped or batches are full, it also gives weights, float32 `[n]`: 1, or 0 for an
      image that does not count; a bad one is black.

    Raises:
      InputError: if an argument is out of range.
    """
    crops.check(size, (scale,), aspect)
    bad = bad or BadImages()
    worker, workers = shard
    if batch_size % workers:
        raise InputError(f'batch_size: found {batch_size}; expected a multiple of {workers}.')
    share = batch_size // workers
    weighted = full or (examples.images is None and bad.on_error == 'skip')
    labels = tf.constant(examples.labels)

    def centre(image):
        return crops.to_uint8(crops.centre_crops(image, (scale,), size, aspect, antialias)[0])

    make = loading.evaluation_images(examples, centre, size, bad)

    def labelled(counts, indices, *data):
        images, weights = make(indices, *data)
        parts = images, tf.gather(labels, indices), weights * counts
        return parts if weighted else parts[:2]

    chunk = loading.chunk(share)
    whole = -(-len(examples) // batch_size)  # told, since TensorFlow cannot count packed images
    places = tf.data.Dataset.range(len(examples))
    if full:
        places = tf.data.Dataset.range(whole).map(
            lambda step: step * batch_size + worker * share + tf.range(share, dtype=tf.int64)
        ).unbatch()
    last = len(examples) - 1
    numbers = places.batch(chunk).map(
        lambda i: (tf.cast(i <= last, tf.float32), tf.minimum(i, last)))
    chunks = loading.parallel(loading.read_records(numbers, examples), labelled)
    return loading.batches(chunks, share, chunk, drop_remainder=full).apply(
        tf.data.experimental.assert_cardinality(whole))


def _check_augmentation(augmentation, examples, share):
    if augmentation.mixes and share % 2:
        raise InputError(f'batch_size: found {share} images a worker; expected an even number with '
                         'augment.mixup or augment.cutmix, which mix pairs.')
    if examples.channels != 3 and (augmentation.colours or augmentation.policy != 'none'):
        raise InputError(f'augment: found images of {examples.channels} channels; expected 3 '
                         'for colour jitter and policies.')


def _choose(crop, scales, size, area, aspect_ratio, aspect):
    """(shape of the image, seed) → box."""
    fields.check('image.crop', crop)
    if crop == 'multi_scale':
        crops.check(size, scales, aspect)
        return lambda shape, seed: crops.multi_scale(shape, scales, size, seed, aspect)
    crops.check_ranges(area, aspect_ratio)
    return lambda shape, seed: crops.random_resized(shape, area, aspect_ratio, seed)


def _training_images(examples, choose, change, size, antialias, bad):
    """(run's seeds, positions, indices, encoded images if read already) → uint8 images."""
    if examples.images is not None:
        images = tf.constant(examples.images)

        def crop_decoded(seed, position, index):
            seeds = _seeds(seed, position)
            box = choose(tf.shape(images)[1:3], seeds('crop'))
            image = crops.to_uint8(crops.resize_box(images[index], box, size, antialias))
            return change(image, seeds)

        return lambda *parts: tf.map_fn(lambda part: crop_decoded(*part), parts,
                                        fn_output_signature=tf.uint8)
    read = loading.reader(examples)

    @tf.function(autograph=False)  # traced once for both uses
    def crop(encoded, seed, position):
        seeds = _seeds(seed, position)
        image = crops.to_uint8(crops.crop_encoded(
            encoded, lambda shape: choose(shape, seeds('crop')), size, antialias, bad.max_pixels))
        return change(image, seeds)

    def first(seed, position, index, *data):
        return crop(read(index, *data), seed, position)

    def second(seed, position, index, *data):
        other = tf.numpy_function(lambda i, p: bad.replacement(examples, i, p), [index, position],
                                  tf.string)
        return crop(tf.ensure_shape(other, []), seed, position)

    return lambda *parts: loading.attempt(first, second, parts, size)[0]


def _seeds(seed, position):
    """Name of a use → its seed, int64 `[2]`, of the run's seed and a position, int64 scalars."""
    return lambda use: tf.stack([seed, position * _MOST_STREAMS + _STREAMS.index(use)])
