"""Open set: chooses the threshold below which a product is not in the catalogue, and measures it.

The score of an image is the cosine of the nearest image in the index. Known images are those of the
validation set whose class is in the index. Unknown ones are those whose class is not, if there are
any. Otherwise each known image stands for one of an unknown product, too, as if its own class were
not in the index. Then unknown products are taken to be as near to the catalogue as its products are
to each other.
"""

import numpy as np
from absl import logging

from bsce_tf.evaluation.neighbours.look_up import look_up
from bsce_tf.index import open_set

_FIRST = 64  # neighbours among which one of another class is looked for first


def measure(config, embedder, answerer, data, images, bad, split):
    """The entry `open_set` of neighbours.json; writes the threshold beside the index.

    Args:
      config: ConfigDict.
      embedder: `vectors.Embedder`.
      answerer: `answers.Answerer`.
      data: `examples.Splits`.
      images: `recall_tables.Images` of the evaluated set.
      bad: the `BadImages` of both sets.
      split: its name.

    Returns:
      dict: `threshold`; `false_accept_rate`, the wanted one; `unknown`, 'classes' or 'own class
      left out'; `validation` and, if the evaluated set is another and has unknown images, `test`:
      each `known` and `unknown` (numbers of images), `auroc`, `false_accepts`, `false_rejects`
      (shares at the threshold), `curve` (see `open_set.curve`); None if validation has no image
      that serves.
    """
    if split != 'validation':
        chosen_on = look_up(config, embedder, answerer, data.validation, bad, 'threshold',
                            keep=True)
    else:
        chosen_on = images
    if chosen_on.also_in_index:
        logging.warning('%d validation images are in the index too; no threshold is chosen, as '
                        'these find themselves.', chosen_on.also_in_index)
        return None
    inside = chosen_on.references > 0
    known, others = chosen_on.cosines[inside], chosen_on.cosines[~inside]
    kind = 'classes'
    if not len(others):
        kind, others = 'own class left out', nearest_others(
            answerer, chosen_on.vectors[inside], chosen_on.labels[inside])
    if not len(known) or not len(others):
        return None
    rate = config.evaluate.false_accept_rate
    limit = max(open_set.threshold(others, rate), -1.0)
    open_set.write(answerer.index.folder, answerer.index, limit, rate)
    if kind != 'classes':
        logging.warning('evaluate.false_accept_rate: %g is of validation images whose own class is '
                        'left out, as none is of a class that %s lacks. Real unknown products can '
                        'be nearer to the catalogue and be accepted far more often. A run with '
                        'data.unseen_classes > 0 and an index with index.classes = seen measure it '
                        'on the test set.', rate, answerer.index.folder)
    found = {'threshold': limit, 'false_accept_rate': rate, 'unknown': kind,
             'validation': _measures(known, others, limit)}
    inside = images.references > 0
    if split != 'validation' and inside.any() and not inside.all():
        found['test'] = _measures(images.cosines[inside], images.cosines[~inside], limit)
        found['test']['classifier_auroc'] = open_set.auroc(
            images.probability[inside], images.probability[~inside])
    return found


def nearest_others(answerer, vectors, labels):
    """float32 `[m]`: cosine of the nearest image of another class; none where there is none.

    Args:
      answerer: `answers.Answerer`.
      vectors: float32 `[n, d]`.
      labels: int64 `[n]`, class ids.
    """
    cosines = np.full(len(labels), -np.inf, np.float32)
    count = min(_FIRST, len(answerer.index))
    for begin in range(0, len(labels), 2**13):
        part = slice(begin, begin + 2**13)
        found = answerer.search(vectors[part], count)
        other = (found.classes >= 0) & (found.classes != labels[part, None])
        cosines[part] = np.where(other, found.cosines, -np.inf).max(axis=1)
    missing = np.isneginf(cosines)
    for label in np.unique(labels[missing]):
        chosen = np.flatnonzero(missing & (labels == label))
        found = answerer.search(vectors[chosen], 1, without=label)
        cosines[chosen] = found.cosines[:, 0]
    return cosines[np.isfinite(cosines)]


def _measures(known, unknown, limit):
    accepts, rejects = open_set.rates(known, unknown, limit)
    return {'known': len(known), 'unknown': len(unknown), 'auroc': open_set.auroc(known, unknown),
            'false_accepts': accepts, 'false_rejects': rejects,
            'curve': open_set.curve(known, unknown)}
