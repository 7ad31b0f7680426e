"""How good the judges of an audit are, and how probable it is that each label is wrong.

Confident learning takes a judge at its word: it cannot tell a wrong label from an error of a judge
that is too sure of itself. So the judges are calibrated first, on images that none of them was
trained on. With p the probabilities of a network, s its softmax at temperature T, K classes and η
the share of wrong labels, which fall on each of the other classes alike:

    s = p^(1/T) / Σ p^(1/T)        P(given label y) = (1 − η)·s_y + η·(1 − s_y) / (K − 1)

η, one for all, and T, one for each network, are those of the largest likelihood of the given
labels. The judges' own error is the mean of 1 − max s. A network that knows nothing gets a large T:
s is flat, and no label is more probably wrong than any other. `transitions` then lets classes that
look alike be confused more often than others. (Temperature: Guo et al. 2017, "On Calibration of
Modern Neural Networks"; labels as a mixture of right and random ones: Goldberger and Ben-Reuven
2017, "Training deep neural-networks using a noise adaptation layer".)

What cannot be seen: wrong labels among classes that the judges themselves hardly tell apart. They
are taken for errors of the judges; the upper end of the interval of the noise has them.
"""

from typing import NamedTuple

import numpy as np

from bsce_tf.audit import transitions

WEAK = 0.5  # share of a guesser's error, 1 − 1/K, from which on judges are too weak
KNOWN = 0.25  # share of right answers from which on a class counts as known
_MOST = 2**16  # images of a network that its temperature is fitted on
_BLOCK = 2**16  # images that are worked on at once
_TEMPERATURES = np.geomspace(0.1, 50, 40)
_RATES = np.concatenate([[0, 1e-4, 3e-4],
                         np.geomspace(1e-3, 0.1, 40),
                         np.linspace(0.105, 0.995, 179)])
_INTERVAL = 3.84 / 2  # of a log likelihood: 95 %, χ² with one degree of freedom
_TINY = 1e-12


class Quality(NamedTuple):
    """What is known of the judges, of N images and K classes.

    Attributes:
      networks: list of dicts, one for each network: `images` that it judged, `error`, the share of
        them whose most probable class is not the given one, and `temperature`, T; above 1 the
        network is too sure of itself.
      own_error: share of images whose most probable class is not the true one, as the judges'
        calibrated probabilities tell.
      weak: whether the judges are too weak: their own error is above half of a guesser's, or more
        than half of the labels would be wrong.
      noise: η, and the lower and upper end of its interval of 95 % by the profile likelihood.
      wrong: float64 `[N]`, probability that the label is wrong, see `transitions`; NaN where not
        judged.
      known: bool `[K]`: whether a quarter or more of the images that the judges take for the class
        have its label. Who does not know a class cannot tell what is not of it.
    """

    networks: list
    own_error: float
    weak: bool
    noise: tuple
    wrong: np.ndarray
    known: np.ndarray


def measure(labels, sparse, networks, num_classes):
    """The `Quality` of probabilities of images that the networks were not trained on.

    Args:
      labels: int `[N]`, given.
      sparse: a `top_probabilities.Sparse`. Where it has less than K classes, the rest of the
        probability is taken to be spread evenly over the others.
      networks: int `[N]`, the number of the network that judged each image; −1 where none did.
      num_classes: K.
    """
    judged = np.flatnonzero(sparse.judged)
    if not len(judged):
        return Quality([], 1.0, True, (0.0, 0.0, 1.0), np.full(len(labels), np.nan),
                       np.zeros(num_classes, bool))
    numbers = np.unique(networks[judged])
    parts = [judged[networks[judged] == number] for number in numbers]
    noise, temperatures = _fit(sparse, parts, num_classes)
    number = np.searchsorted(numbers, networks[judged])
    heat = np.array(temperatures)[number]
    own = sum((1 - _tempered(sparse, judged[at], heat[at], num_classes)[1][:, 0]).sum()
              for at in _blocks(np.arange(len(judged))))
    own_error = float(own / len(judged))
    agree = sparse.classes[:, 0] == labels
    about = [{'images': len(part), 'error': float(1 - agree[part].mean()),
              'temperature': float(temperature)}
             for part, temperature in zip(parts, temperatures, strict=True)]
    wrong = np.full(len(labels), np.nan)
    wrong[judged] = _wrong(labels[judged], number, sparse, judged, heat, noise[0], num_classes)
    weak = own_error > WEAK * (1 - 1 / num_classes) or noise[0] > 0.5
    return Quality(about, own_error, bool(weak), noise, wrong,
                   _known(sparse.classes[judged, 0], agree[judged], num_classes))


def _wrong(labels, networks, sparse, judged, heat, noise, num_classes):
    """Of the likeliest of some common factors of the temperatures."""
    tried = []
    for factor in transitions.SHARPER:
        parts = [transitions.pairs(labels[at], sparse.classes[judged[at]], *_tempered(
            sparse, judged[at], factor * heat[at], num_classes)[::-1])
            for at in _blocks(np.arange(len(judged)))]
        tried.append(transitions.wrong(labels, networks, transitions.joined(parts), noise,
                                       num_classes))
    return max(tried, key=lambda found: found[1])[0]


def _known(best, agree, num_classes):
    taken = np.bincount(best, minlength=num_classes)
    right = np.bincount(best[agree], minlength=num_classes)
    return (taken > 0) & (right >= KNOWN * taken)


def _fit(sparse, parts, num_classes):
    """((η, lower, upper), temperatures `[networks]`) of the largest likelihood."""
    profile, best = 0.0, []
    for part in parts:
        chosen = part[np.linspace(0, len(part) - 1, min(len(part), _MOST)).astype(int)]
        table = _log_likelihoods(sparse, chosen, _TEMPERATURES, num_classes)
        best.append(table.argmax(axis=0))
        profile = profile + table.max(axis=0)
    top = profile.argmax()
    inside = np.flatnonzero(profile >= profile[top] - _INTERVAL)
    ends = max(inside[0] - 1, 0), min(inside[-1] + 1, len(_RATES) - 1)  # the first that are outside
    temperatures = [_TEMPERATURES[places[top]] for places in best]
    return tuple(float(_RATES[i]) for i in (top, *ends)), temperatures


def _log_likelihoods(sparse, chosen, temperatures, num_classes):
    """float64 `[temperatures, rates]` of the given labels of the chosen images."""
    found = np.zeros((len(temperatures), len(_RATES)))
    for row, temperature in zip(found, temperatures, strict=True):
        given, _ = _tempered(sparse, chosen, np.full(len(chosen), temperature), num_classes)
        for i, rate in enumerate(_RATES):
            row[i] = np.log(_likelihood(given, rate, num_classes)).sum()
    return found


def _tempered(sparse, at, temperatures, num_classes):
    """(s of the given label, `[n]`; s of the most probable classes, `[n, k]`) of some images."""
    top = np.log(np.maximum(sparse.probabilities[at].astype(np.float64), _TINY))
    given = np.log(np.maximum(sparse.given[at].astype(np.float64), _TINY))
    others = num_classes - top.shape[1]
    rest = np.maximum(1 - np.exp(top).sum(axis=1), _TINY) / max(others, 1)
    most, heat = top[:, :1], temperatures[:, None]
    top = np.exp((top - most) / heat)  # the largest is subtracted, so that nothing overflows
    most = most[:, 0]
    total = top.sum(axis=1) + others * np.exp((np.log(rest) - most) / temperatures)
    return np.exp((given - most) / temperatures) / total, top / total[:, None]


def _other(given, num_classes):
    """P(label | the label is wrong)."""
    return np.maximum(1 - given, _TINY) / (num_classes - 1)


def _likelihood(given, rate, num_classes):
    return np.maximum((1 - rate) * given + rate * _other(given, num_classes), _TINY)


def _blocks(indices):
    return [indices[first:first + _BLOCK] for first in range(0, len(indices), _BLOCK)]
