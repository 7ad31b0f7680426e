"""Parts of an input pipeline: reading, catching bad images, batches; see `pipeline`."""

import os

import numpy as np
import tensorflow as tf

from bsce_tf.errors import InputError

MOST = 64  # images that share the cost of catching errors, at most


def with_fallback(make, fallback, parts, shapes):
    """`make` of every element, or `fallback` where an op of it fails: a `try` within a graph.

    tf.data passes over elements that fail; each bears its place, so the missing ones are found.
    Setting that up takes as long as a quarter of an 800 × 800 JPEG; so a chunk shares it.

    Args:
      make, fallback: functions of an element's parts that give a tuple of uint8 tensors.
      parts: tensors `[n, …]`, n ≤ `MOST`.
      shapes: of what the functions give.

    Returns:
      Tuple of uint8 `[n, *shape]`; bool `[n]`, whether `make` went well.
    """
    places = tf.range(tf.shape(parts[0])[0])
    # One more at the end, so that there is a batch even where all fail.
    last = tf.data.Dataset.from_tensors(
        (tf.constant(-1), *(tf.zeros(shape, tf.uint8) for shape in shapes)))
    tried = tf.data.Dataset.from_tensor_slices((places, *parts)).map(
        lambda place, *rest: (place, *make(*rest))).ignore_errors().concatenate(last)
    found, *made = (part[:-1] for part in tried.batch(MOST + 1).get_single_element())
    good = tf.scatter_nd(found[:, None], tf.ones_like(found), tf.shape(places)[:1]) > 0

    def filled():
        missing = tf.where(tf.logical_not(good))[:, 0]
        others = tf.map_fn(
            lambda rest: tuple(fallback(*rest)), tuple(tf.gather(part, missing) for part in parts),
            fn_output_signature=tuple(tf.TensorSpec(shape, tf.uint8) for shape in shapes))
        order = tf.argsort(tf.concat([found, tf.cast(missing, tf.int32)], 0))
        return [tf.gather(tf.concat(both, 0), order) for both in zip(made, others, strict=True)]

    made = tf.cond(tf.reduce_all(good), lambda: made, filled)
    return tuple(tf.ensure_shape(part, [parts[0].shape[0], *shape])
                 for part, shape in zip(made, shapes, strict=True)), good


def reader(examples):
    """(index, encoded image where it is read already) → encoded image."""
    if examples.records is not None:
        return lambda index, data: data
    paths = tf.constant(examples.paths)
    return lambda index: tf.io.read_file(tf.strings.join([examples.root, '/', paths[index]]))


def read_records(numbers, examples):
    """Adds the encoded images to batches whose last part is the indices, one read a batch."""
    if examples.records is None:
        return numbers

    def read(indices):
        try:
            return np.array(examples.records.read(indices), object)
        except InputError:  # one is bad: it stays empty, and is looked into when it fails to decode
            return np.array([_read_one(examples, index) for index in indices], object)

    def load(*parts):
        data = tf.numpy_function(read, [parts[-1]], tf.string)
        return *parts, tf.ensure_shape(data, parts[-1].shape)

    return numbers.map(load, num_parallel_calls=2, deterministic=True)


def chunk(size, most=MOST):
    """Images that are made together: the largest divisor of `size` up to `most` and `MOST`."""
    return max(n for n in range(1, min(most, MOST) + 1) if size % n == 0)


def parallel(dataset, function):
    """`dataset.map`, on all cores that this process may use, and in order."""
    return dataset.map(function, num_parallel_calls=len(os.sched_getaffinity(0)),
                       deterministic=True)


def batches(chunks, size, chunk, drop_remainder=True):
    """Joins chunks to batches; where they are as large already, nothing is copied again."""
    if chunk < size:
        chunks = chunks.unbatch().batch(size, drop_remainder=drop_remainder)
    return finished(chunks)


def finished(batches):
    """Batches that are made ahead, and not cut up over workers by TensorFlow.

    Without autotuning: an iterator that goes waits for the tuner, which sleeps up to a minute
    (TensorFlow 2.20), so that a run ended half a minute after its last step.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy.OFF  # workers make their own slices
    options.experimental_distribute.auto_shard_policy = policy
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def _read_one(examples, index):
    try:
        return examples.records.read([index])[0]
    except InputError:
        return b''
