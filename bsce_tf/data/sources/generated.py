"""Generated pictures: a coloured bar at an angle on noise; for tests and for trying a mode out."""

import numpy as np

from bsce_tf.data.examples import Examples, Splits

SIZE, CLASSES, IMAGES = 32, 6, 24  # pixels; classes; images of a class in the training set


def load():
    """Training, validation and test set of 6 classes, 32 × 32, always the same; takes no field."""
    return Splits(*(_examples(part, seed, images) for part, seed, images in (
        ('training', 0, IMAGES), ('validation', 1, IMAGES // 3), ('test', 2, IMAGES // 3))))


def _examples(part, seed, images):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), images)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    angle = (np.pi * labels / CLASSES + rng.normal(0, 0.05, len(labels)))[:, None, None]
    shift = rng.uniform(-3, 3, len(labels))[:, None, None]
    bar = np.abs(x * np.sin(angle) - y * np.cos(angle) + shift) < 4
    colour = np.stack([np.full(len(labels), 200.0), 40 * labels, 250 - 40 * labels], axis=1)
    pictures = np.where(bar[..., None], colour[:, None, None, :], 120.0)
    pictures = pictures + rng.normal(0, 20, pictures.shape)
    return Examples(labels, tuple(f'bar {180 * k // CLASSES}°' for k in range(CLASSES)),
                    images=pictures.clip(0, 255).astype(np.uint8), origin=f'generated {part} set')
