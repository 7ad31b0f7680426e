"""Files that say, or unpack to, more than the network holds are refused before they are read."""

import resource
import zipfile

import h5py
import keras
import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.models import classifier
from bsce_tf.models.weights import Weights, array_sizes, convert_timm, published

HUGE = 2**36  # numbers: 256 GB


def build(classes=6, head='linear', weights=None):
    return classifier.build('small_resnet', classes, weights, image_size=24, head=head)


@pytest.fixture
def path(tmp_path):
    build().save_weights(tmp_path / 'a.weights.h5')
    return tmp_path / 'a.weights.h5'


def replace(path, name, shape):
    """Puts a dataset of no stored bytes in the place of another."""
    with h5py.File(path, 'r+') as file:
        del file[name]
        file.create_dataset(name, shape, 'float32', chunks=tuple(min(side, 64) for side in shape),
                            compression='gzip', fillvalue=1)


@pytest.mark.parametrize('shape', [(HUGE,), (2**20, 2**16)])
def test_an_h5_array_that_says_too_much_is_refused(path, shape):
    name = 'layers/functional/layers/conv2d_1/vars/0'
    replace(path, name, shape)
    with pytest.raises(InputError, match=rf'a.weights.h5: {name} says that it holds '
                       rf'\[{", ".join(map(str, shape))}\] numbers, and the largest variable of '
                       'the network has 36,864. Expected the weights of small_resnet') as error:
        build(weights=path)
    assert '\n' not in str(error.value)


def test_the_head_of_an_h5_file_may_be_large_where_it_is_not_read(path):
    replace(path, 'layers/tau_head/vars/0', (64, HUGE))
    build(weights=path)  # a new head is made
    with pytest.raises(InputError, match='layers/tau_head/vars/0 says that it holds'):
        classifier.load_weights(build(), path)  # as of a run's own weights


def test_a_whole_file_passes(path):
    model = build(weights=path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(model.get_layer('head').kernel,
                                      file['layers/tau_head/vars/0'][()])


def network(classes=3):
    images = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(4, 3, name='conv')(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(classes, name='head')(x))


def member(archive, name, shape, unpacked):
    """An array of a zip archive: a header, and so many zeros, which take a thousandth there."""
    with archive.open(f'{name}.npy', 'w', force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(
            file, {'descr': '<f4', 'fortran_order': False, 'shape': shape})
        for _ in range(unpacked // 2**20):
            file.write(bytes(2**20))


@pytest.mark.parametrize(('shape', 'message'), [
    ((HUGE, 4), r'conv/kernel has shape \[68719476736, 4\], functional\S* expects \[3, 3, 4, 4\]'),
    ((3, 3, 4, 4), None)])
def test_an_npz_array_that_is_too_large_is_not_unpacked(tmp_path, monkeypatch, shape, message):
    monkeypatch.setenv('BSCE_TF_CACHE', str(tmp_path))
    model = network()
    arrays = {name: np.array(v) for name, v in convert_timm.variables_of(model).items()}
    (tmp_path / 'timm--little').mkdir()
    path = tmp_path / 'timm--little' / 'model.npz'
    del arrays['conv/kernel']
    np.savez(path, **arrays)
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        member(archive, 'conv/kernel', shape, 2**30)
    assert path.stat().st_size < 2**22
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights = Weights(repository='timm/little')
    if message:
        with pytest.raises(InputError, match=message):
            published.load(model, weights)
    else:  # what fits is read, and no more
        published.load(model, weights)
        assert not model.get_layer('conv').kernel.numpy().any()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


def test_another_heads_shape_is_all_that_is_taken_of_it(tmp_path):
    np.savez(tmp_path / 'a.npz', a=np.ones((2, 3)), b=np.ones(4, np.float32))
    found = array_sizes.read_npz(tmp_path / 'a.npz', {'a': (2, 3), 'b': (5,)})
    np.testing.assert_array_equal(found['a'], np.ones((2, 3)))
    assert found['b'].shape == (4,)
    assert found['b'].strides == (0,)
