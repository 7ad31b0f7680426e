"""Test time in NumPy float64, from the crops of each model on."""

import functools

import numpy as np

from bsce_tf.data.images import crops
from bsce_tf.data.sources import generated
from bsce_tf.evaluation import members


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@functools.cache
def features(folder, scales):
    """float64 `[scales, N, F]` of the generated test set, and the head's kernel and bias."""
    member = members.load(folder, scales)
    images = generated.load().test.images
    cut = np.stack([crops.to_uint8(crops.centre_crops(
        image, scales, member.size, member.aspect, member.antialias)) for image in images], 1)
    found = np.stack([member.body.predict(part, verbose=0) for part in cut])
    return found.astype(np.float64), *(np.asarray(w, np.float64) for w in member.head.get_weights())


def logits(folder, scales):
    """float64 `[N, K]`: features averaged over the scales, then the head."""
    found, kernel, bias = features(folder, tuple(scales))
    return found.mean(0) @ kernel + bias


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
