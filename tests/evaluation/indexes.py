"""Indexes of two small runs, and what NumPy in float64 expects of them."""

import numpy as np
import tensorflow as tf

from bsce_tf.data.sources import generated
from bsce_tf.data.view import View
from tests.evaluation import reference

NAMES = generated.load().train.class_names


def both(runs):
    return ','.join(map(str, runs))


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    with config.ignore_type():  # of neighbours.reject
        config.update_from_flattened_dict({name.replace('__', '.'): value
                                           for name, value in fields.items()})
    return config


class Pixels:
    """Vectors of a few pixels instead of a network's features, which take seconds to compile."""

    def __init__(self, runs, scales, devices, taus=None):
        self.class_names, self.devices, self.width = runs[0].class_names, devices, 48
        self.fingerprints, self.views = ['pixels'] * len(runs), [View(28, (28,))]
        self.accepted = [('pixels',)] * len(runs)

    def compute(self, batch):
        pixels = tf.image.resize(batch.crops[0][:, 0], (4, 4), 'area')
        vectors = tf.math.l2_normalize(tf.reshape(pixels - 100, [-1, 48]), axis=1)
        return {'vectors': vectors, 'probabilities': tf.fill([tf.shape(vectors)[0], 6], 1 / 6)}

    def vectors(self, batch):
        return {'vectors': self.compute(batch)['vectors']}


def vectors_of(runs, images):
    """float64 `[N, d]`: features averaged over scales, of length 1, joined over runs, by NumPy."""
    parts = []
    for folder, scales in zip(runs, ((24, 28), (21, 25, 23)), strict=True):
        body, _, _, config = reference.network(folder)
        image = config.image
        features = np.mean([body.predict(np.stack([
            reference.centre_crop(picture, scale, image.size, image.aspect)
            for picture in images]), verbose=0) for scale in scales], axis=0).astype(np.float64)
        parts.append(features / np.linalg.norm(features, axis=1, keepdims=True))
    return np.concatenate(parts, axis=1) / 2 ** 0.5
