"""Open set: images of products that are not in the catalogue, told by a score.

An image is accepted if its score is at least a threshold. False accepts: accepted images of unknown
products. False rejects: rejected images of known ones.
"""

import numpy as np
from absl import logging

from bsce_tf import files

NAME = 'threshold.json'  # in the folder of an index
POINTS = 101  # of a curve, at most


def auroc(known, unknown):
    """Area under the ROC curve: P(a known image's score is above an unknown one's), ties one half.

    Args:
      known, unknown: float `[n]`, `[m]`, scores; at least one each.
    """
    order = np.sort(np.asarray(unknown, np.float64))
    below = np.searchsorted(order, known, side='left')
    ties = np.searchsorted(order, known, side='right') - below
    return float((below + ties / 2).sum() / (len(known) * len(order)))


def threshold(unknown, rate):
    """The smallest threshold with which at most `rate` of the unknown images are accepted.

    Args:
      unknown: float `[m]`, scores, at least one.
      rate: wanted share of false accepts, 0 to 1.

    Returns:
      A float: just above the (⌊rate · m⌋ + 1)-th largest score; −inf if all may be accepted.
    """
    scores = np.sort(np.asarray(unknown, np.float32))[::-1]
    allowed = int(np.floor(rate * len(scores) + 1e-9))
    if allowed >= len(scores):
        return -float('inf')
    return float(np.nextafter(scores[allowed], np.float32(np.inf)))


def rates(known, unknown, limit):
    """(share of false accepts, share of false rejects) at a threshold; None without such images."""
    return (float(np.mean(np.asarray(unknown) >= limit)) if len(unknown) else None,
            float(np.mean(np.asarray(known) < limit)) if len(known) else None)


def curve(known, unknown):
    """List of [threshold, share of false accepts, share of false rejects], by rising threshold."""
    scores = np.sort(np.concatenate([known, unknown]))
    places = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    return [[float(limit), *rates(known, unknown, limit)] for limit in np.unique(scores[places])]


def write(folder, index, limit, rate):
    """Writes a threshold, chosen for a wanted share of false accepts, beside an index."""
    files.write_json(folder / NAME, {'threshold': limit, 'false_accept_rate': rate,
                                     'index': index.fingerprint, 'images': len(index)})


def read(folder):
    """The dict that `write` wrote; None if there is none.

    Raises:
      InputError: if it is damaged.
    """
    return files.read_json(folder / NAME, _check, '--mode=evaluate')


def _check(found):
    if type(found['threshold']) not in (int, float) or type(found['index']) is not str:
        raise ValueError('a value is of another type')


def warn(chosen, index):
    """Warns if a threshold was chosen on other images than an index now has."""
    if chosen['index'] != index.fingerprint:
        logging.warning('%s: its threshold was chosen when the index had %s images; it has %d now, '
                        'and may accept more or fewer unknown products. --mode=evaluate chooses '
                        'anew.', index.folder, chosen.get('images'), len(index))
