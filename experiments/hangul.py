"""Draws data.source=hangul: syllables of Korean in the typefaces of Debian's packages.

    tools/get_hangul_fonts.sh .data/hangul/fonts
    python -m experiments.hangul --classes=2350

Every training face draws every syllable --copies times; validation and test have a few images of
each class, in faces that training never sees. A face that lacks a syllable, or draws some alike, is
left out. Everything is drawn from --seed, on all cores: half a minute of a core for 2,350 classes,
five minutes for 11,172. See `bsce_tf/data/sources/hangul.py` for what comes out, and for the
licences.

With --script=hanja the classes are Chinese characters in the training faces that have them, to
pretrain on. There is a training set alone: no other face has them all.
"""

import functools
import math
import multiprocessing
import os
import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from bsce_tf.data.sources import arrays
from bsce_tf.errors import InputError

# allow_override: one process of the tests imports drawings.py as well, which has the same flags.
SCRIPT = flags.DEFINE_enum('script', 'hangul', ['hangul', 'hanja'], 'Syllables, or Chinese '
                           'characters.')
CLASSES = flags.DEFINE_integer('classes', 2350, '2350 (KS X 1001), 11172 (all), or the first of '
                               'the former; of hanja at most 4620.', 2, 11_172,
                               allow_override=True)
COPIES = flags.DEFINE_integer('copies', 2, 'Training images of a syllable in each face.', 1)
VALIDATION = flags.DEFINE_integer('validation', 2, 'Images of each class.', 1)
TEST = flags.DEFINE_integer('test', 3, 'Images of each class.', 1)
SEED = flags.DEFINE_integer('seed', 0, 'Of the images and the order of classes.', 0,
                            allow_override=True)
FONTS = flags.DEFINE_string('fonts', '.data/hangul/fonts', 'Folder with the typefaces.')
FOLDER = flags.DEFINE_string('folder', None, 'To write; default .data/SCRIPT/CLASSES.',
                             allow_override=True)

SIZE = 36  # pixels
_CANVAS, _POINTS = 96, 40  # pixels of the sheet and the em that a syllable is drawn with
_SMALLEST = 24  # pixels of the sheet; smaller ones stay small
_FIRST, _ALL = 0xAC00, 11_172  # the block of Unicode
_COMPATIBLE = 0xF900  # of Unicode: from here on, characters that are there twice
_MOST_ALIKE = 0.005  # share of the syllables that a face may draw as another one
_KOREAN = 1  # of the languages of a collection, whose syllables are alike
_WITHOUT = ('NanumBarunGothic-YetHangul', 'NanumMyeongjo-YetHangul', 'NanumGothicEcoR',
            'NanumMyeongjoEcoR')  # the same as another face
# Faces by the beginnings of their files. Weights of one design stay together.
_TEST = ('NanumBrush', 'NanumPen', 'UnPen', 'UnPilgia', 'UnVada', 'UnTaza', 'UnYetgul',
         'UnJamoSora', 'BMEuljiro', 'BMEULJIRO', 'BMYEONSUNG', 'BMKIRANGHAERANG', 'UnShinmun',
         'gulim', 'NotoSerif')
_VALIDATION = ('UnPilgi', 'UnJamoNovel', 'BMHANNA', 'BMDOHYEON', 'NanumBarunpen', 'UnGraphic')


def syllables(count):
    """The first `count` characters of KS X 1001 in its order, or all of Unicode's for more."""
    standard = _rows(0xB0, 0xC9)
    if count <= len(standard):
        return standard[:count]
    return [chr(_FIRST + i) for i in range(min(count, _ALL))]


def hanja(count):
    """The first `count` of the 4,620 Chinese characters of KS X 1001, without those twice there."""
    return [one for one in _rows(0xCA, 0xFE) if ord(one) < _COMPATIBLE][:count]


def _rows(first, end):
    """The characters of rows `first` to `end` − 1 of KS X 1001, by their byte in EUC-KR."""
    return [bytes([row, cell]).decode('euc_kr') for row in range(first, end)
            for cell in range(0xA1, 0xFF)]


def faces(folder):
    """{split: [(path, number in its collection)]} of the typefaces in a folder, ordered by name."""
    found = {'train': [], 'validation': [], 'test': []}
    for path in sorted(pathlib.Path(folder).rglob('*'), key=lambda path: path.name):
        if path.suffix.lower() in ('.ttf', '.otf', '.ttc') and path.stem not in _WITHOUT:
            split = ('test' if path.stem.startswith(_TEST) else
                     'validation' if path.stem.startswith(_VALIDATION) else 'train')
            number = _KOREAN if path.suffix.lower() == '.ttc' else 0
            found[split].append((str(path), number))
    return found


def draws_all(face, wanted):
    """Whether a face draws each of the syllables, and nearly all of them differently."""
    font = _font(face)
    found = set()
    for syllable in wanted:
        mask = font.getmask(syllable)
        if mask.getbbox() is None:
            return False
        found.add((mask.size, bytes(mask)))
    return len(found) >= (1 - _MOST_ALIKE) * len(wanted)


def draw(font, syllable, rng):
    """A syllable, seen from somewhere, in its own light.

    Args:
      font: of Pillow.
      syllable: character.
      rng: np.random.Generator.

    Returns:
      uint8 `[SIZE, SIZE]`.
    """
    from PIL import Image, ImageDraw
    sheet = Image.new('L', (_CANVAS, _CANVAS), 0)
    ImageDraw.Draw(sheet).text((_CANVAS // 4, _CANVAS // 4), syllable, 255, font)
    left, top, right, bottom = sheet.getbbox()
    scale = rng.uniform(0.78, 0.98) * SIZE / max(right - left, bottom - top, _SMALLEST)
    turned = sheet.transform(
        (SIZE, SIZE), Image.Transform.AFFINE,
        _inverse(((left + right) / 2, (top + bottom) / 2), rng.normal(0, 4), scale,
                 rng.normal(0, 0.08), rng.normal(0, 1.2, 2)), Image.Resampling.BILINEAR)
    ink = np.asarray(turned, np.float32) / 255
    dark, bright = rng.uniform(0, 90), rng.uniform(165, 255)
    values = bright + (dark - bright) * ink + rng.normal(0, 6, ink.shape)
    return values.clip(0, 255).astype(np.uint8)


def _inverse(middle, angle, scale, shear, shift):
    """Pillow's six numbers, output pixel → input pixel: `middle` of the sheet to `shift` from that
    of the output."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    inverse = np.linalg.inv(scale * np.array([[cos, -sin], [sin, cos]])
                            @ np.array([[1, shear], [0, 1]]))
    first = np.array(middle) - inverse @ (SIZE / 2 + shift)
    return (*inverse[0], first[0], *inverse[1], first[1])


def _font(face):
    from PIL import ImageFont
    return ImageFont.truetype(face[0], _POINTS, index=face[1])


def assignment(classes, count, faces, rng):
    """int `[classes, count]`: the face of each image; a class's take turns in a random order."""
    turns = -(-count // faces)
    return np.concatenate([rng.permuted(np.tile(np.arange(faces), (classes, 1)), axis=1)
                           for _ in range(turns)], axis=1)[:, :count]


def _of_face(job):
    """uint8 `[n, SIZE, SIZE]`: the syllables of one face."""
    face, wanted, seed = job
    font, rng = _font(face), np.random.default_rng(seed)
    return np.stack([draw(font, syllable, rng) for syllable in wanted])


def split_images(names, faces, count, seed, workers):
    """uint8 `[K · count, SIZE, SIZE, 1]`, by class.

    Args:
      names: K syllables.
      faces: of the split.
      count: images of each class.
      seed: list of whole numbers.
      workers: `map` of a pool of processes.
    """
    of_face = assignment(len(names), count, len(faces), np.random.default_rng(seed)).ravel()
    labels = np.repeat(np.arange(len(names)), count)
    places = [np.flatnonzero(of_face == f) for f in range(len(faces))]
    jobs = [(face, [names[k] for k in labels[place]], [*seed, number])
            for number, (face, place) in enumerate(zip(faces, places, strict=True)) if len(place)]
    images = np.empty((len(labels), SIZE, SIZE, 1), np.uint8)
    filled = (place for place in places if len(place))
    for place, found in zip(filled, tqdm(workers(_of_face, jobs), total=len(jobs), unit='face',
                                         disable=None), strict=True):
        images[place, ..., 0] = found
    return images


def write(folder, fonts, names, copies, validation, test, seed, workers=map):
    """Draws the splits into `folder`; those that are there stay.

    Args:
      folder: path.
      fonts: folder with the typefaces.
      names: K characters.
      copies: training images of a character in each face.
      validation, test: images of each class; 0: not that split.
      seed: whole number.
      workers: `map` of a pool of processes.

    Raises:
      InputError: if the folder of the typefaces has too few.
    """
    names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    counts = {'train': copies, 'validation': validation, 'test': test}
    usable = functools.partial(draws_all, wanted=names)
    for number, (split, found) in enumerate(faces(fonts).items()):
        if arrays.exists(folder, split) or not counts[split]:
            continue
        found = [face for face, good in zip(found, workers(usable, found), strict=True) if good]
        if not found:
            raise InputError(f'--fonts: {fonts} has no typeface for the {split} set; expected what '
                             'tools/get_hangul_fonts.sh gets.')
        count = counts[split] * (len(found) if split == 'train' else 1)
        print(f'{split}: {count} images of each class, in {len(found)} faces: '
              f'{", ".join(pathlib.Path(path).stem for path, _ in found)}', flush=True)
        images = split_images(names, found, count, [seed, number], workers)
        arrays.write(folder, split, images, np.repeat(np.arange(len(names)), count), names)


def main(_):
    """Writes what the flags name."""
    folder = FOLDER.value or f'.data/{SCRIPT.value}/{CLASSES.value}'
    korean = SCRIPT.value == 'hangul'
    names = (syllables if korean else hanja)(CLASSES.value)
    if len(names) < CLASSES.value:
        raise InputError(f'--classes: found {CLASSES.value}; expected at most {len(names)} with '
                         f'--script={SCRIPT.value}.')
    evaluated = (VALIDATION.value, TEST.value) if korean else (0, 0)
    with multiprocessing.get_context('spawn').Pool(len(os.sched_getaffinity(0))) as pool:
        write(folder, FONTS.value, names, COPIES.value, *evaluated, SEED.value, pool.imap)


if __name__ == '__main__':
    app.run(main)
