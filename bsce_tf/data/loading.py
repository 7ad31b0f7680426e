"""Parts of an input pipeline: reading, catching bad images, batches; see `pipeline`."""

import os

import numpy as np
import tensorflow as tf

from bsce_tf.data.reading import parallel, records

MOST = 64  # largest number of images that share the cost of catching errors
_CHUNK_BYTES = 32 * 2**20  # encoded images of a chunk


def with_fallback(make, fallback, parts, shapes):
    """Applies `make` to every element, and `fallback` where an op of `make` fails.

    It is a `try` within a graph: `ignore_errors` drops elements that fail, and the numbers of the
    others tell which these are. Setting that up takes as long as decoding a quarter of an 800 × 800
    JPEG; so a chunk of images shares it.

    Args:
      make, fallback: functions of an element's parts that return a tuple of uint8 tensors.
      parts: tensors `[n, …]`, n ≤ `MOST`.
      shapes: shapes of the tensors that the functions return.

    Returns:
      Tuple of uint8 `[n, *shape]`; bool `[n]`, whether `make` succeeded.
    """
    places = tf.range(tf.shape(parts[0])[0])
    # An extra element at the end, so that there is a batch even if all others fail.
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


def read(numbers, examples, size):
    """Adds encoded images to batches that end with indices; one that cannot be read is b''.

    `Examples.storage` says how many are read at a time. They are read in threads of their own,
    ahead of the decoding and in order. Images in memory need no reading.

    Args:
      numbers: dataset of tuples of batches; the last of each is of indices, int64 `[n]`.
      examples: the `Examples` that they are of.
      size: n; the last batch may be smaller.

    Returns:
      Dataset of the same tuples, each with the images, string `[n]`, at its end.
    """
    if examples.images is not None:
        return numbers
    chunks = parallel.Chunks(records.of(examples), examples.storage)

    def load(*parts):
        data = tf.numpy_function(lambda indices: np.array(chunks.read(indices), object),
                                 [parts[-1]], tf.string)
        return *parts, tf.ensure_shape(data, parts[-1].shape)

    # So that there is work for all readers when one call ends:
    calls = -(-examples.storage.readers // size) + 1
    # Where reads are quick, more threads than cores make a tenth fewer images.
    waiting = 0 if examples.storage.quick else calls
    options = tf.data.Options()
    options.threading.private_threadpool_size = cores() + waiting
    return numbers.map(load, num_parallel_calls=calls, deterministic=True).with_options(options)


def most(examples):
    """How many encoded images may share a chunk, so that large ones do not fill the memory."""
    if examples.images is not None or not examples.storage.size:
        return MOST
    return max(_CHUNK_BYTES // examples.storage.size, 1)


def chunk(size, most=MOST):
    """Images per chunk: the largest divisor of `size` up to `most` and `MOST`."""
    return max(n for n in range(1, min(most, MOST) + 1) if size % n == 0)


def on_cores(dataset, function):
    """`dataset.map`, on all cores that this process may use, and in order."""
    return dataset.map(function, num_parallel_calls=cores(), deterministic=True)


def cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def batches(chunks, size, chunk, drop_remainder=True):
    """Joins chunks to batches; chunks that are whole batches are not copied."""
    if chunk < size:
        chunks = chunks.unbatch().batch(size, drop_remainder=drop_remainder)
    return finished(chunks)


def finished(batches):
    """Prefetches batches, and keeps TensorFlow from sharding them over workers.

    Autotuning is off: an iterator that is deleted waits for the tuner, which sleeps up to a minute
    (TensorFlow 2.20), so a run ended half a minute after its last step.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy.OFF  # workers make their own slices
    options.experimental_distribute.auto_shard_policy = policy
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
