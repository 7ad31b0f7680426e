"""One pass through a set of images: the outputs of networks as NumPy arrays."""

import numpy as np
import tensorflow as tf

from bsce_tf.data import pipeline


def over(examples, views, compute, devices, batch_size, bad, start=0, end=None):
    """Computes every image once, in order; yields the arrays of each batch.

    Args:
      examples: an `Examples`.
      views: list of `View`.
      compute: function of a `pipeline.Batch` that gives a dict of tensors `[n, …]`.
      devices: tf.distribute.Strategy of this machine; a batch is split over its replicas.
      batch_size: images per batch, of all replicas together.
      bad: a `BadImages`.
      start: index of the first image, a multiple of `batch_size`.
      end: index after the last image; None: all.

    Yields:
      Dict of NumPy arrays `[n, …]`: outputs of `compute`, and `good`, bool: False for a bad image.

    Raises:
      InputError, RunError: for bad images, as `bad` says.
    """
    dataset = devices.experimental_distribute_dataset(pipeline.evaluation(
        examples, views, batch_size, bad, start=start, end=end,
        full=devices.num_replicas_in_sync > 1))

    def replica(batch):
        return batch.indices, {'good': batch.weights > 0, **compute(batch)}

    step = tf.function(lambda batch: devices.run(replica, args=(batch,)), [dataset.element_spec],
                       autograph=False)

    def joined(value):
        return np.concatenate([part.numpy() for part in devices.experimental_local_results(value)])

    with bad.raising():
        for batch in dataset:
            indices, found = step(batch)
            # Sorted and unique: the last image may be repeated to fill a batch.
            _, order = np.unique(joined(indices), return_index=True)
            yield {name: joined(value)[order] for name, value in found.items()}
