"""Drawings of products, as many classes as wanted, which differ finely: data for many classes.

    python -m experiments.drawings --classes=1000 --folder=.data/drawings/1000

A class is a product: a shape, the colours of body and label, a pattern and three letters. Products
come in families of eight with one shape and body, as those of a brand do, so the nearest classes
differ in one or two things only. An image is a product seen from somewhere: turned, scaled, moved
and sheared, in its own light, before clutter. Class sizes fall from --largest to --smallest as a
geometric series (the long tail of the demo); the test set is balanced. Everything is drawn from
--seed.

The output is read with data.source=arrays, data.root=FOLDER.
"""

import colorsys
import math
import pathlib
import string

import numpy as np
from absl import app, flags
from tqdm import tqdm

from bsce_tf.data.sources import arrays

CLASSES = flags.DEFINE_integer('classes', 1000, 'K.', 2)
LARGEST = flags.DEFINE_integer('largest', 100, 'Training images of the largest class.', 1)
SMALLEST = flags.DEFINE_integer('smallest', 5, 'Training images of the smallest class.', 1)
TEST_IMAGES = flags.DEFINE_integer('test_images', 10_000, 'In all, at least 2 a class.', 2)
SEED = flags.DEFINE_integer('seed', 0, 'Of classes and images.', 0)
FOLDER = flags.DEFINE_string('folder', '.data/drawings/1000', 'Folder to write.')

SIZE = 40  # pixels
FAMILY = 8  # classes with one shape and body
_CANVAS = 2 * SIZE  # drawn at twice the size, then made smaller
_PATTERNS = ('plain', 'stripes', 'dots', 'band')
_SHAPES = {  # outlines in a box of −1 … 1, y downwards
    'bottle': [(-.2, -1), (.2, -1), (.2, -.55), (.5, -.3), (.5, 1), (-.5, 1), (-.5, -.3),
               (-.2, -.55)],
    'box': [(-.75, -.8), (.75, -.8), (.75, .9), (-.75, .9)],
    'shirt': [(-.35, -.8), (.35, -.8), (1, -.3), (.7, .1), (.5, -.1), (.5, .9), (-.5, .9),
              (-.5, -.1), (-.7, .1), (-1, -.3)],
    'bag': [(-.6, -.4), (-.35, -.4), (-.3, -.9), (.3, -.9), (.35, -.4), (.6, -.4), (.85, .9),
            (-.85, .9)],
    'cup': [(-.7, -.7), (.5, -.7), (.5, -.45), (.95, -.4), (.9, .3), (.45, .35), (.35, .8),
            (-.55, .8)],
    'shoe': [(-.9, -.5), (-.35, -.6), (-.1, -.1), (.7, .1), (.95, .45), (.9, .7), (-.9, .7)],
    'can': [(-.5, -.9), (.5, -.9), (.55, -.8), (.55, .8), (.5, .9), (-.5, .9), (-.55, .8),
            (-.55, -.8)],
    'tube': [(-.6, -.9), (.6, -.9), (.35, .6), (.3, .95), (-.3, .95), (-.35, .6)],
}


def product(number, seed):
    """The attributes of class `number`: a dict of shape, body, label, pattern and letters."""
    family = np.random.default_rng([seed, 0, number // FAMILY])
    own = np.random.default_rng([seed, 1, number])
    return {'shape': list(_SHAPES)[family.integers(len(_SHAPES))],
            'body': _colour(family), 'label': _colour(own),
            'pattern': _PATTERNS[own.integers(len(_PATTERNS))],
            'letters': ''.join(own.choice(list(string.ascii_uppercase), 3))}


def draw(product, rng, size=SIZE):
    """A picture of a product.

    Args:
      product: what `product` gave.
      rng: np.random.Generator of viewpoint, light and clutter.
      size: pixels of a side, at most twice `SIZE`.

    Returns:
      PIL image, size × size, RGB.
    """
    from PIL import Image, ImageDraw, ImageFilter
    picture = Image.new('RGB', (_CANVAS, _CANVAS), _colour(rng, dull=True))
    drawing = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 6)):  # clutter
        corner, side = rng.uniform(0, _CANVAS, 2), rng.uniform(8, 40, 2)
        box = [*(corner - side / 2), *(corner + side / 2)]
        (drawing.ellipse if rng.random() < 0.5 else drawing.rectangle)(
            box, fill=_colour(rng, dull=True))
    layer = _product_layer(product)
    angle, scale = rng.normal(0, 14), rng.uniform(0.65, 1.0)
    shear, (dx, dy) = rng.normal(0, 0.12), rng.uniform(-0.15, 0.15, 2) * _CANVAS
    layer = layer.transform(layer.size, Image.Transform.AFFINE,
                            _inverse(angle, scale, shear, dx, dy), Image.Resampling.BILINEAR)
    picture.paste(layer, (0, 0), layer)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(1))
    values = np.asarray(picture.resize((size, size), Image.Resampling.BOX), np.float32)
    light = rng.uniform(0.7, 1.2) * rng.uniform(0.92, 1.08, 3)
    values = values * light + rng.normal(0, 5, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _product_layer(product):
    """The product alone, upright, on a transparent canvas."""
    from PIL import Image, ImageChops, ImageDraw, ImageFont
    outline = [(_CANVAS * (0.5 + 0.45 * x), _CANVAS * (0.5 + 0.45 * y))
               for x, y in _SHAPES[product['shape']]]
    mask = Image.new('L', (_CANVAS, _CANVAS), 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    layer = Image.new('RGBA', (_CANVAS, _CANVAS), (*product['body'], 255))
    drawing = ImageDraw.Draw(layer)
    colour = product['label']
    if product['pattern'] == 'stripes':
        for x in range(0, _CANVAS, 16):
            drawing.rectangle([x, 0, x + 5, _CANVAS], fill=colour)
    elif product['pattern'] == 'dots':
        for x in range(4, _CANVAS, 16):
            for y in range(4, _CANVAS, 16):
                drawing.ellipse([x, y, x + 8, y + 8], fill=colour)
    elif product['pattern'] == 'band':
        drawing.rectangle([0, 0.66 * _CANVAS, _CANVAS, 0.8 * _CANVAS], fill=colour)
    drawing.rectangle([0, 0.38 * _CANVAS, _CANVAS, 0.62 * _CANVAS], fill=colour)
    ink = (255, 255, 255) if sum(colour) < 380 else (0, 0, 0)
    drawing.text((_CANVAS / 2, _CANVAS / 2), product['letters'], ink,
                 ImageFont.load_default(19), anchor='mm')
    layer.putalpha(ImageChops.multiply(mask, layer.getchannel('A')))
    return layer


def _inverse(angle, scale, shear, dx, dy):
    """Pillow's six numbers, output pixel → input pixel, of a turn, shear, scale and shift."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    forward = scale * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    inverse = np.linalg.inv(forward)
    middle = np.full(2, _CANVAS / 2)
    shift = middle - inverse @ (middle + (dx, dy))
    return (*inverse[0], shift[0], *inverse[1], shift[1])


def _colour(rng, dull=False):
    saturation, value = (rng.uniform(0, 0.4) if dull else rng.uniform(0.5, 1)), rng.uniform(0.35, 1)
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(rng.random(), saturation, value))


def sizes(classes, largest, smallest=5):
    """int64 `[K]`: training images of each class, from `largest` down to `smallest`."""
    steps = np.arange(classes) / max(classes - 1, 1)
    return np.round(largest * (smallest / largest) ** steps).astype(np.int64)


def pictures(labels, split, seed):
    """uint8 `[N, SIZE, SIZE, 3]`: a drawing of each label's class; split 0 is training, 1 test."""
    products = [product(k, seed) for k in range(int(labels.max()) + 1)]
    found = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    for i, label in enumerate(tqdm(labels, unit='image', disable=None)):
        found[i] = draw(products[label], np.random.default_rng([seed, 2, split, i]))
    return found


def write(folder, classes, largest, smallest, test_images, seed):
    """Writes training and test set into `folder`; what is there stays."""
    folder = pathlib.Path(folder)
    products = [product(k, seed) for k in range(classes)]
    names = [f'{k:05d} {p["shape"]} {p["pattern"]} {p["letters"]}' for k, p in enumerate(products)]
    each = max(test_images // classes, 2)
    for split, name, counts in ((0, 'train', sizes(classes, largest, smallest)),
                                (1, 'test', np.full(classes, each))):
        if not arrays.exists(folder, name):
            labels = np.repeat(np.arange(classes), counts)
            arrays.write(folder, name, pictures(labels, split, seed), labels, names)


def main(_):
    """Writes what the flags name."""
    write(FOLDER.value, CLASSES.value, LARGEST.value, SMALLEST.value, TEST_IMAGES.value, SEED.value)


if __name__ == '__main__':
    app.run(main)
