"""Reading PyTorch checkpoints into NumPy arrays, without PyTorch and without running their code.

A `.safetensors` file is read by the package of that name. A `.pth` file is a pickle, which could
call any function; here, it can only make tensors and dictionaries, and anything else is an error.
Both formats of `torch.save` are read: the zip archive, and the older stream of pickles.
"""

import collections
import dataclasses
import io
import math
import pathlib
import pickle
import struct
import zipfile
import zlib

import ml_dtypes
import numpy as np

from bsce_tf.errors import InputError

_SAFETENSORS_DTYPES = {
    'F64': np.float64, 'F32': np.float32, 'F16': np.float16, 'BF16': ml_dtypes.bfloat16,
    'I64': np.int64, 'I32': np.int32, 'I16': np.int16, 'I8': np.int8, 'U8': np.uint8,
    'BOOL': np.bool_}
_STORAGE_DTYPES = {
    'DoubleStorage': np.float64, 'FloatStorage': np.float32, 'HalfStorage': np.float16,
    'BFloat16Storage': ml_dtypes.bfloat16, 'LongStorage': np.int64, 'IntStorage': np.int32,
    'ShortStorage': np.int16, 'CharStorage': np.int8, 'ByteStorage': np.uint8,
    'BoolStorage': np.bool_}
_MOST_PICKLE = 2**26  # bytes; a network's has about 100,000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_WRAPPERS = ('state_dict', 'model')  # keys under which training scripts save the weights
# What reading a damaged file raises, besides our own errors.
_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError, IndexError, ValueError,
           TypeError, AttributeError, RuntimeError, MemoryError, OverflowError, struct.error,
           zlib.error)


def read(path):
    """Read a checkpoint.

    Args:
        path: a `.safetensors`, `.pth`, `.pt` or `.bin` file.

    Returns:
        {key of the state dict: array}, in the file's order and dtypes.

    Raises:
        InputError: no such file, unknown suffix, a damaged or truncated file, or a checkpoint with
            anything but tensors and dictionaries.
    """
    path = pathlib.Path(path)
    readers = {'.safetensors': _read_safetensors}
    readers |= dict.fromkeys(('.pth', '.pt', '.bin'), _read_torch)
    if path.suffix not in readers:
        raise InputError(f'{path}: suffix {path.suffix!r}, expected one of {", ".join(readers)}')
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}') from error
    except InputError:
        raise
    except _DAMAGE as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise InputError(
            f'{path}: truncated, damaged or not a {path.suffix} checkpoint ({reason})'
        ) from error


def _read_safetensors(path):
    try:
        import safetensors
    except ImportError as error:
        raise InputError(
            f'{path}: safetensors is not installed, which reads such files; expected: pip install '
            "'bsce-tf[pretrained]'"
        ) from error
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    return {
        key: np.frombuffer(entry['data'], _SAFETENSORS_DTYPES[entry['dtype']]).reshape(
            entry['shape']
        )
        for key, entry in entries
    }


@dataclasses.dataclass
class _Storage:
    key: str
    dtype: np.dtype
    size: int

    @property
    def bytes(self):
        """Size in bytes; ValueError if the stated number of elements is invalid."""
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f'a storage of {self.size!r} numbers')
        return self.size * self.dtype.itemsize


@dataclasses.dataclass
class _Tensor:
    """A tensor whose data is not read yet."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple

    def array(self, data):
        dtype = self.storage.dtype
        flat = np.frombuffer(data, dtype, count=self.storage.size)
        steps = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)]
        if min((self.offset, *self.shape, *self.strides)) < 0 or (
            math.prod(self.shape) and self.offset + sum(steps) >= flat.size
        ):
            raise ValueError(f'a tensor of shape {self.shape} reaches outside its storage')
        if math.prod(self.shape) > flat.size:  # overlapping rows
            raise ValueError(f'a tensor of shape {self.shape} has more numbers than its storage')
        strides = [step * dtype.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_):
    return tensor


_ALLOWED = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
    ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Unpickles dictionaries, numbers, strings and `_Tensor`s, and refuses anything else."""

    def __init__(self, file, path):
        super().__init__(file, encoding='utf-8')
        self.path = path
        self.storages = {}  # by key; tensors may share one

    def find_class(self, module, name):
        if module == 'torch' and name in _STORAGE_DTYPES:
            return name
        if (module, name) not in _ALLOWED:
            raise InputError(
                f'{self.path}: refused: its pickle asks for {module}.{name}, expected only '
                'tensors and dictionaries'
            )
        make = _ALLOWED[module, name]
        return lambda *arguments: make(*arguments)  # so a pickle cannot set our objects' attributes

    def persistent_load(self, identifier):
        kind, storage, key, _, size = identifier[:5]
        if kind != 'storage':
            raise ValueError(f'unknown persistent object {kind!r}')
        if len(identifier) > 5 and identifier[5] is not None:
            raise ValueError('a storage that is a view of another')
        made = _Storage(str(key), np.dtype(_STORAGE_DTYPES[storage]), size)
        return self.storages.setdefault(made.key, made)


def _read_torch(path):
    with open(path, 'rb') as file:
        zipped = file.read(4) == b'PK\x03\x04'
        file.seek(0)
        state, data = _read_zip(file, path) if zipped else _read_stream(file, path)
        state = _unwrap(state, path)
        return {key: tensor.array(data(tensor.storage)) for key, tensor in state.items()}


def _read_zip(file, path):
    """(unpickled object, function from a storage to its bytes) of a zip archive."""
    archive = zipfile.ZipFile(file)
    pickles = [name for name in archive.namelist() if name.endswith('/data.pkl')]
    if len(pickles) != 1:
        raise ValueError(f'{len(pickles)} files data.pkl inside, expected 1')
    folder = pickles[0].removesuffix('data.pkl')
    if f'{folder}byteorder' in archive.namelist():
        order = _member(archive, f'{folder}byteorder')
        if order != b'little':
            raise ValueError(f'byte order {order!r}, expected little')
    state = _Unpickler(io.BytesIO(_member(archive, pickles[0])), path).load()

    def data(storage):
        return _member(archive, f'{folder}data/{storage.key}', storage.bytes)

    return state, data


def _member(archive, name, size=None):
    """The bytes of a member; ValueError unless it is as large as expected, and says so.

    Checked before it is read. `torch.save` never compresses; a compressed storage is refused, as a
    few bytes may become any number of them.

    Args:
        archive: zipfile.ZipFile.
        name: of the member.
        size: expected, in bytes; None: any that a pickle of names and shapes may have.
    """
    info = archive.getinfo(name)
    if size is not None and info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f'{name} is compressed, expected it as torch.save writes it')
    if info.file_size != size if size is not None else info.file_size > _MOST_PICKLE:
        raise ValueError(
            f'{name} has {info.file_size} bytes, expected '
            f'{f"at most {_MOST_PICKLE}" if size is None else size}'
        )
    with archive.open(info) as content:
        found = content.read(info.file_size)  # no more than this is unpacked
        if len(found) != info.file_size:
            raise ValueError(f'{name} has {len(found)} bytes, its header says {info.file_size}')
    return found


def _read_stream(file, path):
    """As `_read_zip`, for the older format: four pickles, the storages' keys, their bytes."""
    if _Unpickler(file, path).load() != _LEGACY_MAGIC:
        raise ValueError('no PyTorch magic number')
    for _ in ('protocol', 'system'):
        header = _Unpickler(file, path).load()
    if not header.get('little_endian', True):
        raise ValueError('byte order big, expected little')
    unpickler = _Unpickler(file, path)
    state = unpickler.load()
    contents, end = {}, path.stat().st_size
    for key in _Unpickler(file, path).load():
        storage = unpickler.storages[key]
        if file.read(8) != storage.size.to_bytes(8, 'little'):
            raise ValueError(f'storage {key} is not of {storage.size} numbers')
        if storage.bytes > end - file.tell():
            raise ValueError(f'storage {key} of {storage.bytes} bytes is cut off')
        contents[key] = file.read(storage.bytes)
    return state, lambda storage: contents[storage.key]


def _unwrap(state, path):
    """The state dict, which training scripts often store under a key of another dictionary."""
    if isinstance(state, dict):
        for wrapper in _WRAPPERS:
            if isinstance(state.get(wrapper), dict):
                state = state[wrapper]
                break
    if not isinstance(state, dict):
        found = type(state).__name__
        raise InputError(f'{path}: holds a {found}, expected a dictionary of tensors')
    for key, value in state.items():
        if not isinstance(value, _Tensor):
            raise InputError(f'{path}: {key} is a {type(value).__name__}, expected a tensor')
    return state
