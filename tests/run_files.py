"""What a training run leaves in its folder, as values that tests compare."""

import csv

import h5py
import numpy as np

from bsce_tf.training import checkpoint


def rows_of(path):
    """The rows of a CSV file; of a run's folder, those of its metrics.csv."""
    path = path / 'metrics.csv' if path.is_dir() else path
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def newest(folder):
    """File name of the newest checkpoint; '' without one."""
    return next(reversed(checkpoint.names(folder / 'checkpoints')), '')


def arrays_in(path):
    """{name: value} of an HDF5 file."""
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
    assert arrays
    return arrays


def state_of(folder):
    """The arrays of the newest checkpoint, and its state."""
    return arrays_in(folder / 'checkpoints' / newest(folder))


def results(folder):
    """Everything that must not depend on whether a run was interrupted."""
    found = {name: (folder / name).read_text() for name in ('metrics.csv', 'best.json')}
    for path in [*folder.glob('*.weights.h5'), folder / 'checkpoints' / newest(folder)]:
        found |= {f'{path.name}:{name}': value for name, value in arrays_in(path).items()}
    return found


def assert_same(a, b, **tolerance):
    """Compares two results of `state_of`: exactly, or arrays alone within a tolerance."""
    assert a.keys() == b.keys()
    for name in a:
        if isinstance(a[name], np.ndarray):
            np.testing.assert_allclose(a[name], b[name], err_msg=name, **tolerance)
        elif not tolerance:
            assert a[name] == b[name], name
