"""Files of weights are looked at before they are read: a few bytes may unpack to any number."""

import zipfile

import h5py
import numpy as np

_WIDEST = 8  # bytes of a number, at most
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}


def check_h5(path, variables, left_out=()):
    """Raises ValueError if an array of a `.weights.h5` file is larger than any variable.

    Args:
      path: of the file.
      variables: those of the network, at least one.
      left_out: beginnings of the names of arrays that nobody will read.
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

    Only those are unpacked whose shape is the one expected; of others there is the shape, and zeros
    that take no memory.

    Args:
      path: of the file.
      shapes: {name: tuple} that are expected.

    Raises:
      OSError, ValueError, EOFError, zipfile.BadZipFile: if it is damaged.
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
