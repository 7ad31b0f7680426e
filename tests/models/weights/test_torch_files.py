"""Checkpoints of every format are read; what is damaged or asks for code is refused in one line."""

import collections
import contextlib
import io
import json
import os
import pathlib
import pickle
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.models.weights import torch_files

FOLDER = pathlib.Path(__file__).parent / 'reference'
# Written by PyTorch itself; see tools/timm_reference.py.
FILES = ('state.pth', 'state-legacy.pth', 'state-wrapped.pth', 'state.safetensors')


@pytest.fixture
def expected():
    return dict(np.load(FOLDER / 'state.npz'))


@pytest.mark.parametrize('name', FILES)
def test_every_format_gives_the_same_arrays(name, expected):
    state = torch_files.read(FOLDER / name)
    assert state.keys() == expected.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(array.astype(np.float64), expected[key])
    assert state['brain.weight'].dtype == ml_dtypes.bfloat16
    assert state['half.weight'].dtype == np.float16
    assert state['bn.running_mean'].dtype == np.float64


@pytest.mark.parametrize('name', FILES)
def test_a_file_cut_anywhere_is_refused_in_one_line(name, tmp_path):
    content = (FOLDER / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as error:
            torch_files.read(path)
        assert str(path) in str(error.value)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', FILES)
def test_a_flipped_byte_never_gives_another_error(name, tmp_path):
    content = (FOLDER / name).read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / name
    refused = 0
    for position in generator.integers(len(content), size=400):
        damaged = bytearray(content)
        damaged[position] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        try:
            torch_files.read(path)
        except InputError:
            refused += 1
    assert refused > 40  # most bytes of a small file say how to read it


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(path, value):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps(value, protocol=2))


def streamed(path, value):
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}, value, []):
        pickle.dump(part, stream, protocol=2)
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize('write', [zipped, streamed])
@pytest.mark.parametrize(
    ('function', 'arguments'), [(os.mkdir, ('made',)), (eval, ("__import__('os').mkdir('made')",))]
)
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    write, function, arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'evil.pth'
    write(path, {'conv.weight': Evil(function, *arguments)})
    with pytest.raises(InputError, match=r'refused: its pickle asks for \w+\.(mkdir|eval)'):
        torch_files.read(path)
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([1, 2], 'holds a list, expected a dictionary of tensors'),
        ({'epoch': 3}, 'epoch is a int, expected a tensor'),
        (collections.OrderedDict(lr=0.1), 'lr is a float, expected a tensor'),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(value, message, tmp_path):
    zipped(tmp_path / 'other.pth', value)
    with pytest.raises(InputError, match=message):
        torch_files.read(tmp_path / 'other.pth')


def test_a_tensor_outside_its_storage_is_refused(tmp_path):
    content = (FOLDER / 'state.safetensors').read_bytes()
    length = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8 : 8 + length])
    header['conv.weight']['shape'] = [2, 3, 2, 3]
    text = json.dumps(header).encode()
    path = tmp_path / 'shape.safetensors'
    path.write_bytes(len(text).to_bytes(8, 'little') + text + content[8 + length :])
    with pytest.raises(InputError, match=r'shape.safetensors: .*(?i:invalid|offset|size)'):
        torch_files.read(path)


class Storage:
    """What `torch.save` writes for a tensor of `size` numbers, without PyTorch."""

    def __init__(self, size, shape, strides=None):
        self.size, self.shape = size, shape
        self.strides = strides or tuple(np.cumprod((1, *shape[:0:-1]))[::-1].tolist())


class Named:
    """A global of another module, which is not there."""

    def __init__(self, name):
        self.name = name

    def __call__(self):
        """Only so that pickle takes it for a function."""


class TorchPickler(pickle._Pickler):  # the one in Python: it asks `save_global` for each function
    def save_global(self, obj, name=None):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + obj.name.encode() + b'\n')
        else:
            super().save_global(obj, name)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            return self.save_global(obj)
        if isinstance(obj, Storage):
            self.write(pickle.GLOBAL + b'torch._utils\n_rebuild_tensor_v2\n' + pickle.MARK)
            self.write(pickle.MARK)
            for part in ('storage', Named('torch\nFloatStorage'), '0', 'cpu', obj.size):
                self.save(part)
            self.write(pickle.TUPLE + pickle.BINPERSID)
            for part in (0, obj.shape, obj.strides, False, collections.OrderedDict()):
                self.save(part)
            self.write(pickle.TUPLE + pickle.REDUCE)
            return None
        return super().save(obj, save_persistent_id)


def torch_zip(path, storage, content, claimed=None, how=zipfile.ZIP_STORED):
    """A `.pth` of one tensor; its header may claim another size than the content has."""
    stream = io.BytesIO()
    TorchPickler(stream, 2).dump({'w': storage})
    with zipfile.ZipFile(path, 'w', how) as archive:
        archive.writestr('archive/data.pkl', stream.getvalue())
        archive.writestr('archive/data/0', content)
        if claimed is not None:
            archive.getinfo('archive/data/0').file_size = claimed


def test_a_storage_is_read_as_torch_writes_it(tmp_path):
    values = np.arange(4, dtype='<f4')
    torch_zip(tmp_path / 'good.pth', Storage(4, (2, 2)), values.tobytes())
    np.testing.assert_array_equal(torch_files.read(tmp_path / 'good.pth')['w'],
                                  values.reshape(2, 2))


def test_a_compressed_storage_that_is_as_large_as_it_says_is_refused_unread(tmp_path):
    torch_zip(tmp_path / 'bomb.pth', Storage(2**24, (2**24,)), bytes(2**26),
              how=zipfile.ZIP_DEFLATED)
    assert (tmp_path / 'bomb.pth').stat().st_size < 2**17
    tracemalloc.start()
    with pytest.raises(InputError, match='data/0 is compressed, expected it as torch.save writes'):
        torch_files.read(tmp_path / 'bomb.pth')
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize('claimed', [None, 16])
def test_a_storage_that_would_unpack_to_more_than_it_says_is_not_unpacked(claimed, tmp_path):
    torch_zip(tmp_path / 'bomb.pth', Storage(4, (2, 2)), bytes(2**26), claimed)
    tracemalloc.start()
    if claimed is None:
        with pytest.raises(InputError, match='data/0 has 67108864 bytes, expected 16'):
            torch_files.read(tmp_path / 'bomb.pth')
    else:  # the archive's own header lies as well: what it says is taken, and no more
        with contextlib.suppress(InputError):
            torch_files.read(tmp_path / 'bomb.pth')
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_tensor_that_repeats_its_storage_is_refused(tmp_path):
    torch_zip(tmp_path / 'wide.pth', Storage(1, (10**6, 10**6), (0, 0)), bytes(4))
    with pytest.raises(InputError, match='has more numbers than its storage'):
        torch_files.read(tmp_path / 'wide.pth')


def test_missing_file_and_other_suffix_are_refused(tmp_path):
    with pytest.raises(InputError, match=r'none\.pth: No such file'):
        torch_files.read(tmp_path / 'none.pth')
    with pytest.raises(InputError, match=r"suffix '\.h5', expected one of \.safetensors, \.pth"):
        torch_files.read('weights.h5')
