import gzip
import struct

import numpy as np
import pytest

from bsce_tf.data import prepare, sources
from bsce_tf.data.examples import Examples
from bsce_tf.data.sources import fashion_mnist
from bsce_tf.errors import InputError

IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(('labels', 'message'), [
    ([0, 1, 2, 3], 'list: image 3 has label 3 .*expected 0 to 2'),
    ([0, -2, 1, 1], 'image 1 has label -2'), ([0, 1], 'found 4 images'),
    ([[0], [1], [1], [0]], 'found 4 images')])
def test_labels_must_fit(labels, message):
    with pytest.raises(InputError, match=message):
        Examples(labels, ('a', 'b', 'c'), images=IMAGES, origin='list')


def test_no_image_at_all():
    with pytest.raises(InputError, match='list: no image found'):
        Examples([], ('a', 'b'), images=IMAGES[:0], origin='list')


def test_counts_names_and_subsets():
    paths = np.array([b'a/1.jpg', b'b/2.jpg', 'b/ü.jpg'.encode()])
    examples = Examples([0, 1, 1], ('a', 'b', 'c'), paths=paths)
    assert examples.counts.tolist() == [1, 2, 0]
    assert examples.subset([2]).name(0) == 'b/ü.jpg'
    assert examples.subset([2], labels=[0]).counts.tolist() == [1, 0, 0]
    unlabelled = Examples([-1, -1, -1], ('a', 'b'), paths=paths)
    assert not unlabelled.labelled
    assert unlabelled.counts.sum() == 0


def write_idx(folder, part, n, classes=10):
    images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8)
    labels = (np.arange(n) % classes).astype(np.uint8)
    for kind, array in (('images-idx3', images), ('labels-idx1', labels)):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f'>{array.ndim}I', *array.shape)
        (folder / f'{part}-{kind}-ubyte.gz').write_bytes(gzip.compress(header + array.tobytes()))
    return images, labels


def test_fashion_mnist_reads_idx_files(tmp_path):
    images, labels = write_idx(tmp_path, 'train', 30)
    write_idx(tmp_path, 't10k', 20)
    splits = fashion_mnist.load(root=str(tmp_path))
    np.testing.assert_array_equal(splits.train.images[..., 0], images)
    np.testing.assert_array_equal(splits.train.labels, labels)
    assert (len(splits.test), splits.validation) == (20, None)
    whole = (tmp_path / 't10k-labels-idx1-ubyte.gz').read_bytes()
    for data in (b'<html>', whole[:12] + bytes(8) + whole[20:], whole[:20]):
        (tmp_path / 't10k-labels-idx1-ubyte.gz').write_bytes(data)
        with pytest.raises(InputError, match='t10k-labels-idx1-ubyte.gz: .*Fashion-MNIST'):
            fashion_mnist.load(root=str(tmp_path))
    with pytest.raises(InputError, match='data.root'):
        fashion_mnist.load(root=str(tmp_path / 'nothing'))
    with pytest.raises(InputError, match='data.train'):
        fashion_mnist.load(root=str(tmp_path), train='list.csv')


def test_fashion_mnist_that_is_nowhere_is_said_to_be_where(tmp_path, monkeypatch):
    def offline():
        raise OSError('no network')

    monkeypatch.setattr(fashion_mnist, '_DEBIAN', 'no/such/package')
    monkeypatch.setattr('keras.datasets.fashion_mnist.load_data', offline)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf'not in /no/such/package, {tmp_path}/.data/no/such/'
                       r'package, \S+/.data/no/such/package and could not be downloaded '
                       r'\(no network\)'):
        fashion_mnist.load()


@pytest.mark.parametrize('kind', ['symmetric', 'proportional'])
def test_prepare_puts_tail_and_noise_on_training_only(tmp_path, kind):
    _, labels = write_idx(tmp_path, 'train', 2000)
    write_idx(tmp_path, 't10k', 50)
    data = prepare.load('fashion_mnist', root=str(tmp_path), imbalance=20, noise=0.3,
                        noise_kind=kind, seed=3)
    clean = prepare.load('fashion_mnist', root=str(tmp_path), imbalance=20, seed=3)
    both = len(data.train) + len(data.validation)
    assert both == np.round(200 * 20 ** (-np.arange(10) / 9)).sum()
    truth = {image.tobytes(): label for image, label in
             zip(clean.train.images, clean.train.labels, strict=True)}
    truth |= {image.tobytes(): label for image, label in
              zip(clean.validation.images, clean.validation.labels, strict=True)}
    for part, tolerance in ((data.train, 0.02), (data.validation, 0.12)):
        wrong = np.mean([truth[image.tobytes()] != label
                         for image, label in zip(part.images, part.labels, strict=True)])
        assert wrong == pytest.approx(0.3, abs=tolerance)
    assert data.test.counts.tolist() == [5] * 10
    assert len(data.validation) == pytest.approx(0.1 * both, abs=1)


@pytest.mark.parametrize('kind', ['symmetric', 'proportional'])
def test_a_validation_set_of_the_source_gets_wrong_labels_too_and_the_test_set_none(kind):
    clean, noisy = (prepare.load('generated', noise=noise, noise_kind=kind) for noise in (0, 0.5))
    for split, share in (('train', 0.5), ('validation', 0.5), ('test', 0)):
        before, after = (getattr(data, split).labels for data in (clean, noisy))
        assert (before != after).mean() == share


def test_unknown_source():
    with pytest.raises(InputError, match='data.source: found .nope.; expected one of .*csv'):
        sources.load('nope')
