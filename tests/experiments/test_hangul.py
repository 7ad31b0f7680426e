import numpy as np
import pytest
from PIL import ImageFont

from bsce_tf.data import sources
from bsce_tf.errors import InputError
from experiments import hangul

LETTERS = list('ABCDEFGHIJ')


@pytest.fixture
def latin(monkeypatch):
    """Letters for syllables, in sizes of Pillow's own face for typefaces."""
    sizes = {'small': 22, 'large': 40}
    monkeypatch.setattr(hangul, 'faces', lambda folder: {
        'train': [('small', 0), ('large', 0)], 'validation': [('small', 0)],
        'test': [('large', 0)]})
    monkeypatch.setattr(hangul, '_font', lambda face: ImageFont.load_default(sizes[face[0]]))


def test_syllables_are_those_of_the_standard_or_all():
    standard, everything = hangul.syllables(2350), hangul.syllables(11_172)
    assert (standard[0], standard[-1], len(set(standard))) == ('가', '힝', 2350)
    assert (everything[0], everything[-1], len(set(everything))) == ('가', '힣', 11_172)
    assert set(standard) < set(everything)
    assert hangul.syllables(3) == ['가', '각', '간']


def test_chinese_characters_are_those_of_the_standard_once_each():
    found = hangul.hanja(11_172)
    assert (found[0], found[-1], len(found), len(set(found))) == ('伽', '詰', 4620, 4620)
    assert all('一' <= one <= '鿿' for one in found)
    assert hangul.hanja(3) == found[:3]


def test_faces_are_parted_by_design(tmp_path):
    for name in ('NanumBrush.ttf', 'UnPilgi.ttf', 'UnPilgia.ttf', 'UnPilgiBold.ttf',
                 'a/UnBatang.ttf', 'NotoSansCJK-Bold.ttc', 'NanumMyeongjo-YetHangul.ttf',
                 'README'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {split: [(path.rpartition('/')[2], number) for path, number in faces]
             for split, faces in hangul.faces(tmp_path).items()}
    assert found == {'train': [('NotoSansCJK-Bold.ttc', 1), ('UnBatang.ttf', 0)],
                     'validation': [('UnPilgi.ttf', 0), ('UnPilgiBold.ttf', 0)],
                     'test': [('NanumBrush.ttf', 0), ('UnPilgia.ttf', 0)]}


def test_a_face_that_lacks_a_syllable_is_not_used(latin):
    assert hangul.draws_all(('small', 0), LETTERS)
    assert not hangul.draws_all(('small', 0), ['A', ' '])
    assert not hangul.draws_all(('small', 0), ['A', '가', '각'])  # the same box for both


def test_every_class_has_every_face_equally_often():
    found = hangul.assignment(50, 6, 3, np.random.default_rng(0))
    assert (np.sort(found, axis=1) == [0, 0, 1, 1, 2, 2]).all()
    assert len({tuple(row) for row in found}) > 20
    some = hangul.assignment(300, 2, 3, np.random.default_rng(0))
    assert (some[:, 0] != some[:, 1]).all()
    assert np.bincount(some.ravel(), minlength=3).min() > 150


def test_a_syllable_is_whole_and_changes_with_the_seed(latin):
    for face in ('small', 'large'):
        pictures = [hangul.draw(hangul._font((face, 0)), 'A', np.random.default_rng(i))
                    for i in range(20)]
        for picture in pictures:
            ink = picture < (int(picture.min()) + int(picture.max())) / 2
            assert picture.shape == (hangul.SIZE, hangul.SIZE)
            assert 30 < ink.sum() < 600
            assert ink[1:-1, 1:-1].sum() > 0.9 * ink.sum()  # little at the border
        assert np.abs(pictures[0].astype(float) - pictures[1]).mean() > 5


def test_what_is_written_is_a_source(latin, tmp_path):
    hangul.write(tmp_path / 'a', 'fonts', LETTERS, copies=2, validation=1, test=3, seed=0)
    hangul.write(tmp_path / 'a', None, LETTERS, copies=2, validation=1, test=3, seed=0)  # all there
    hangul.write(tmp_path / 'b', 'fonts', LETTERS, copies=2, validation=1, test=3, seed=0)
    found, again = (sources.load('hangul', root=str(tmp_path / name)) for name in 'ab')
    assert sorted(found.train.class_names) == LETTERS
    assert found.train.class_names != tuple(LETTERS)  # the tail is not the end of the alphabet
    for split, count in (('train', 4), ('validation', 1), ('test', 3)):
        part = getattr(found, split)
        assert part.counts.tolist() == [count] * 10
        np.testing.assert_array_equal(part.images, getattr(again, split).images)
    # Letters are nearest to their own class in other sizes, seeds and light.
    train, test = (_sketches(part) for part in (found.train, found.test))
    nearest = found.train.labels[((test[:, None] - train[None]) ** 2).sum(-1).argmin(1)]
    assert (nearest == found.test.labels).mean() > 0.6


def test_a_split_of_no_images_is_not_written(latin, tmp_path):
    hangul.write(tmp_path / 'a', 'fonts', LETTERS, copies=2, validation=0, test=0, seed=0)
    found = sources.load('arrays', root=str(tmp_path / 'a'))
    assert (len(found.train), found.validation, found.test) == (40, None, None)


def _sketches(examples):
    flat = examples.images.reshape(len(examples), -1).astype(float)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_without_typefaces_it_says_how_to_get_them(tmp_path):
    with pytest.raises(InputError, match='no typeface for the train set; .*get_hangul_fonts'):
        hangul.write(tmp_path / 'a', tmp_path, LETTERS, 1, 1, 1, 0)
