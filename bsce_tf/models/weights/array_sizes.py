"""Checks array sizes before files of weights are read, as a few bytes may unpack to gigabytes."""

import zipfile

import h5py
import numpy as np

_WIDEST = 8  # largest item size in bytes
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}


def check_h5(path, variables, left_out=()):
    """Raises ValueError if an array in a `.weights.h5` file is larger than all variables.

    Args:
      path: of the file.
      variables: of the network, at least one.
      left_out: beginnings of names of arrays that will not be read.
    """
    most = max(int(np.prod(variable.shape)) for variable in variables)
    found = []

    def look(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith(tuple(left_out)) and (
                item.size is not None
                and item.size * item.dtype.itemsize > max(most, 1) * _WIDEST):
            found.append(f'{name} says that it holds {list(item.shape)} numbers, and the largest '
                         f'variable of the network has {most:,}.')

    with h5py.File(path, 'r') as file:
        file.visititems(look)
    if found:
        raise ValueError(found[0])


def read_npz(path, shapes):
    """The arrays of an `.npz` file: {name: array}.

    Only arrays of the expected shape are unpacked. In place of any other is an array of zeros with
    the shape that the file states, which takes no memory.

    Args:
      path: of the file.
      shapes: {name: expected shape, a tuple}.

    Raises:
      OSError, ValueError, EOFError, zipfile.BadZipFile: if the file is damaged.
    """
    found = {}
    with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
        for member in archive.infolist():
            name = member.filename.removesuffix('.npy')
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version not in _HEADERS:
                    raise ValueError(f'{name} is of version {version}')
                shape, _, dtype = _HEADERS[version](file)
            fits = shape == shapes.get(name) and dtype.itemsize <= _WIDEST
            found[name] = arrays[name] if fits else np.broadcast_to(np.zeros((), dtype), shape)
    return found
