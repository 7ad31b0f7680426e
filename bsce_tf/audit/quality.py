"""How good an audit's networks are, and how probable it is that each label is wrong.

Confident learning trusts the probabilities: it cannot tell a wrong label from an error of an
overconfident network. So each network is calibrated first, on its out-of-sample predictions. With
p the probabilities of a network, s those at temperature T, K classes, and η the share of wrong
labels, which are spread evenly over the other classes:

    s = p^(1/T) / Σ p^(1/T)        P(given label y) = (1 − η)·s_y + η·(1 − s_y) / (K − 1)

One η for all networks and one T for each maximise the likelihood of the given labels. The networks'
own error is the mean of 1 − max s. A network that knows nothing gets a large T: s is flat, and no
label is more probably wrong than any other. `transitions` then takes into account that some classes
are confused more often than others. (Temperature: Guo et al. 2017, "On Calibration of
Modern Neural Networks"; labels as a mixture of right and random ones: Goldberger and Ben-Reuven
2017, "Training deep neural-networks using a noise adaptation layer".)

Limit: wrong labels among classes that the networks hardly tell apart count as errors of the
networks; only the upper end of the noise interval includes them.
"""

from typing import NamedTuple

import numpy as np

from bsce_tf.audit import transitions

WEAK = 0.5  # networks are too weak above this part of a random guess's error, 1 − 1/K
KNOWN = 0.25  # least share of right answers of a class that counts as known
_MOST = 2**16  # images, at most, to fit a network's temperature on
_BLOCK = 2**16  # images computed at a time
_TEMPERATURES = np.geomspace(0.1, 50, 40)
_RATES = np.concatenate([[0, 1e-4, 3e-4],
                         np.geomspace(1e-3, 0.1, 40),
                         np.linspace(0.105, 0.995, 179)])
_INTERVAL = 3.84 / 2  # of a log likelihood: 95 %, χ² with one degree of freedom
_TINY = 1e-12


class Quality(NamedTuple):
    """How good the out-of-sample predictions of N images and K classes are.

    Attributes:
      networks: list of dicts, one for each network: `images` that it predicted, `error`, the share
        of them whose most probable class is not the given one, and `temperature`, T; above 1 the
        network is overconfident.
      own_error: share of images whose most probable class is not the true one, estimated from the
        calibrated probabilities.
      weak: whether the networks are too weak: their own error is above half of that of a random
        guess, or more than half of the labels would be wrong.
      noise: (η, lower, upper end of its 95 % interval by the profile likelihood).
      wrong: float64 `[N]`, probability that the label is wrong, see `transitions`; NaN without a
        prediction.
      known: bool `[K]`: whether a quarter or more of the images predicted as the class have its
        label. A network that does not know a class cannot tell which images are not of it.
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
      sparse: a `top_probabilities.Sparse`. If it has less than K classes, the rest of the
        probability is assumed to be spread evenly over the others.
      networks: int `[N]`, the number of the network that predicted each image; −1 for none.
      num_classes: K.
    """
    predicted = np.flatnonzero(sparse.predicted)
    if not len(predicted):
        return Quality([], 1.0, True, (0.0, 0.0, 1.0), np.full(len(labels), np.nan),
                       np.zeros(num_classes, bool))
    numbers = np.unique(networks[predicted])
    parts = [predicted[networks[predicted] == number] for number in numbers]
    noise, temperatures = _fit(sparse, parts, num_classes)
    number = np.searchsorted(numbers, networks[predicted])
    heat = np.array(temperatures)[number]
    own = sum((1 - _tempered(sparse, predicted[at], heat[at], num_classes)[1][:, 0]).sum()
              for at in _blocks(np.arange(len(predicted))))
    own_error = float(own / len(predicted))
    agree = sparse.classes[:, 0] == labels
    about = [{'images': len(part), 'error': float(1 - agree[part].mean()),
              'temperature': float(temperature)}
             for part, temperature in zip(parts, temperatures, strict=True)]
    wrong = np.full(len(labels), np.nan)
    wrong[predicted] = _wrong(labels[predicted], number, sparse, predicted, heat, noise[0],
                              num_classes)
    weak = own_error > WEAK * (1 - 1 / num_classes) or noise[0] > 0.5
    return Quality(about, own_error, bool(weak), noise, wrong,
                   _known(sparse.classes[predicted, 0], agree[predicted], num_classes))


def _wrong(labels, networks, sparse, predicted, heat, noise, num_classes):
    """float64 `[n]`, P(wrong); all temperatures times the likeliest factor of `SHARPER`."""
    tried = []
    for factor in transitions.SHARPER:
        parts = [transitions.pairs(labels[at], sparse.classes[predicted[at]], *_tempered(
            sparse, predicted[at], factor * heat[at], num_classes)[::-1])
            for at in _blocks(np.arange(len(predicted)))]
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
