"""Images → arrays through a trained network, in parts that stay when the program is killed."""

import json

import numpy as np
import tensorflow as tf

from bsce_tf import files, progress
from bsce_tf.data import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import batches, members

_PART = 2**16  # images of a file, at most
_MADE_OF = 'made_of.json'


def collect(folder, made_of, member, devices, examples, batch_size, bad, compute, title):
    """Arrays of all images.

    Args:
      folder: pathlib.Path for the parts, missing or of the same computation.
      made_of: dict of plain values: what the arrays depend on.
      member: a `members.Member`.
      devices: tf.distribute.Strategy.
      examples: an `Examples`.
      batch_size: images in the network at once.
      bad: a `BadImages`.
      compute: function of (member, features `[n, scales, d]`, labels `[n]`) that gives a dict of
        tensors `[n, …]`.
      title: of the progress.

    Returns:
      dict of NumPy arrays `[N, …]` of what `compute` gives, and `good`, bool: False for bad images.

    Raises:
      InputError: if the folder holds parts of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check(folder / _MADE_OF, made_of)
    parts = []
    with progress.Bar(title, len(examples)) as bar:
        for first in range(0, len(examples), _PART):
            path = folder / f'{first // _PART:05d}.npz'
            end = min(first + _PART, len(examples))
            if path.exists():
                bar.update(end - first)
            else:
                found = _arrays(member, devices, examples, (first, end), batch_size, bad, compute,
                                bar)
                with files.replacing(path) as temporary:
                    np.savez(temporary, **found)
            with np.load(path) as file:
                parts.append(dict(file))
    return {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}


def _arrays(member, devices, examples, part, batch_size, bad, compute, bar):
    """Arrays of the images from part[0] to part[1]."""
    first, end = part
    dataset = devices.experimental_distribute_dataset(
        batches.batches(examples, [batches.view_of(member)], batch_size, bad, first,
                        full=devices.num_replicas_in_sync > 1, end=end))

    def replica(batch):
        crops, = batch.crops
        features = tf.concat([members.features_of(member, crops[:, i:i + 1])
                              for i in range(len(member.scales))], axis=1)
        return batch.indices, {'good': batch.weights > 0,
                               **compute(member, features, batch.labels)}

    step = tf.function(lambda batch: devices.run(replica, args=(batch,)), [dataset.element_spec],
                       autograph=False)

    def joined(value):
        return np.concatenate([part.numpy() for part in devices.experimental_local_results(value)])

    found = []
    with bad.raising():
        for batch in dataset:
            indices, values = step(batch)
            # Sorted, and each once: the last image may come again to fill a batch.
            _, order = np.unique(joined(indices), return_index=True)
            found.append({name: joined(value)[order] for name, value in values.items()})
            bar.update(len(order))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _check(path, made_of):
    if not path.exists():
        files.write_json(path, made_of)
        return
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise InputError(f'{path}: {error}; expected JSON. Delete {path.parent} to begin '
                         'anew.') from error
    differing = records.differing(found, made_of)
    if differing:
        raise InputError(f'{path}: {", ".join(differing)} differed when it was begun; expected the '
                         f'same as now. Delete {path.parent} to begin anew.')
