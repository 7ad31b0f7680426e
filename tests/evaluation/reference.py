"""Test time in NumPy float64: resizing, crops, averaged features, head, vote.

Only the network itself, from crops to features, is run by Keras.
"""

import functools
import json

import keras
import numpy as np
from ml_collections import config_dict

from bsce_tf.data.sources import generated
from bsce_tf.models import classifier


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def resized(image, height, width):
    """float64 `[height, width, c]`: bilinear, pixel centres at halves, no low-pass filter."""
    for axis, side in enumerate((height, width)):
        here = image.shape[axis]
        place = np.clip((np.arange(side) + 0.5) * here / side - 0.5, 0, here - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, here - 1)
        part = np.expand_dims(place - low, tuple(i for i in range(3) if i != axis))
        image = image.take(low, axis) * (1 - part) + image.take(high, axis) * part
    return image


def centre_crop(image, scale, size, aspect):
    """uint8 `[size, size, c]`: the image resized to a scale, then its centre.

    One pixel in a hundred may differ by 1 from the program's, which rounds halves in float32.
    """
    height = width = scale
    if aspect == 'keep':
        height, width = (round(side * scale / min(image.shape[:2])) for side in image.shape[:2])
    top, left = (height - size) // 2, (width - size) // 2
    whole = resized(image.astype(np.float64), height, width)
    return np.floor(whole[top:top + size, left:left + size] + 0.5).astype(np.uint8)


@functools.cache
def network(folder):
    """(images → features, head's kernel and bias as float64, config) of a run's raw weights."""
    config = config_dict.ConfigDict(json.loads((folder / 'config.json').read_text()))
    model = classifier.make_model(config, 6, 3)
    model.load_weights(folder / 'best.weights.h5')
    body = keras.Model(model.input, model.get_layer('features').output)
    kernel, bias = (np.asarray(w, np.float64) for w in model.get_layer('head').get_weights())
    return body, kernel, bias, config


@functools.cache
def features(folder, scales):
    """float64 `[scales, N, F]` of the generated test set."""
    body, _, _, config = network(folder)
    image = config.image
    assert not image.antialias
    return np.stack([body.predict(np.stack([
        centre_crop(picture, scale, image.size, image.aspect)
        for picture in generated.load().test.images]), verbose=0)
        for scale in scales]).astype(np.float64)


def logits(folder, scales):
    """float64 `[N, K]`: features averaged over the scales, then the head."""
    _, kernel, bias, _ = network(folder)
    return features(folder, tuple(scales)).mean(0) @ kernel + bias


def vote_order(probabilities):
    """int `[N, K]`, best class first: more votes, then mean probability, then the lower id."""
    orders = []
    for rows in np.moveaxis(probabilities, 0, 1):
        first = [int(row.argmax()) for row in rows]
        mean = rows.mean(0)
        orders.append(sorted(range(rows.shape[1]),
                             key=lambda k, f=first, m=mean: (-f.count(k), -m[k], k)))
    return np.array(orders)


def errors(order, labels, sizes):
    """The errors that a table has, of classes in order, best first.

    Args:
      order: int `[N, K]`.
      labels: int `[N]`.
      sizes: `[K]` training images, all of them equal, so that ids make the thirds.
    """
    assert len(set(sizes)) == 1
    by_class = [np.mean(order[labels == k, 0] != k) for k in range(len(sizes))]
    third = len(sizes) // 3
    return {'mean_top1_error': np.mean(by_class), 'top1_error': np.mean(order[:, 0] != labels),
            'top5_error': np.mean((order[:, :5] != labels[:, None]).all(1)),
            'head_error': np.mean(by_class[:third]),
            'medium_error': np.mean(by_class[third:2 * third]),
            'tail_error': np.mean(by_class[2 * third:]),
            'images': len(labels), 'classes_without_images': 0}
