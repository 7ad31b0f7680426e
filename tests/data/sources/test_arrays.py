import numpy as np
import pytest

from bsce_tf.data import sources
from bsce_tf.data.sources import arrays
from bsce_tf.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 1), np.uint8)
LABELS = [0, 1, 1, 0, 2]


def test_what_is_written_is_read_and_stays_in_its_file_until_it_is_taken(tmp_path):
    arrays.write(tmp_path, 'train', IMAGES, LABELS, ['가', 'b', 'c'])
    found = sources.load('arrays', root=str(tmp_path), cache='off')
    assert (found.validation, found.test) == (None, None)
    arrays.write(tmp_path, 'test', IMAGES[:2], LABELS[:2], ['가', 'b', 'c'])
    train, _, test = sources.load('hangul', root=str(tmp_path))
    assert train.class_names == ('가', 'b', 'c')
    assert isinstance(train.images, np.memmap)
    part = train.subset([4, 0])
    np.testing.assert_array_equal(part.images, IMAGES[[4, 0]])
    assert part.labels.tolist() == [2, 0]
    np.testing.assert_array_equal(test.images, IMAGES[:2])


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('train_images.npy', None, 'train_images.npy: No such file'),
    ('train_labels.npy', None, 'train_labels.npy: No such file'),
    ('class_names.json', None, 'class_names.json: No such file'),
    ('train_images.npy', b'PK', 'train_images.npy: damaged'),
    ('train_images.npy', IMAGES[..., 0], r'uint8 of shape \(5, 9, 8\); expected uint8 \[N'),
    ('train_images.npy', IMAGES / 255, 'found float64 of shape'),
    ('train_images.npy', np.array([{}], object), 'train_images.npy: damaged'),
    ('train_labels.npy', np.zeros(5), 'found float64; expected whole numbers'),
    ('train_labels.npy', np.array([0, 1, 1, 0, 3]), 'image 4 has label 3'),
    ('train_labels.npy', np.array([0, 1]), 'found 5 images and labels of shape')])
def test_what_is_wrong_is_named(tmp_path, name, content, message):
    arrays.write(tmp_path, 'train', IMAGES, LABELS, ['a', 'b', 'c'])
    (tmp_path / name).unlink()
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        arrays.load(root=tmp_path)


def test_hangul_says_how_it_is_made(tmp_path):
    with pytest.raises(InputError, match='no drawings of syllables; .*get_hangul_fonts.sh'):
        sources.load('hangul', root=str(tmp_path))
