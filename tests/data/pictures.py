"""Generated pictures and their encodings, for the tests of this folder."""

import io

import numpy as np
from PIL import Image


def picture(height=120, width=160, seed=0):
    """A smooth colour picture with some texture, as a Pillow image."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.BICUBIC), np.float32)
    noise = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def encoded(image, kind='JPEG', **options):
    """Bytes of a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({'quality': 95} if kind == 'JPEG' else {}) | options)
    return buffer.getvalue()
