"""Class weights or a prior on the logits, with which a loss compensates for unequal class sizes."""

import math

import numpy as np

from bsce_tf import class_weights, fields
from bsce_tf.errors import InputError

NAMES = ('none', 'weights', 'effective', 'logit_adjustment')


def loss_arguments(name, counts, drawn=None, weight_cap=0.0,
                   effective_beta=class_weights.BETA):
    """Arguments for a loss that balance the classes.

    A class without images gets weight 0 and does not influence the weights of the other classes.
    For its entry in a prior, see `filled`.

    Args:
      name: 'none'; 'weights', the paper's (`class_weights.balanced`); 'effective'
        (`class_weights.effective`); or 'logit_adjustment' (see `log_prior`).
      counts: `[K]` training images of each class. 'weights' uses these.
      drawn: `[K]` images of each class that the sampler draws in an epoch; default `counts`.
        'effective' and 'logit_adjustment' use these, so that sampler and loss do not both balance.
      weight_cap: largest of the paper's weights, see `class_weights.balanced`.
      effective_beta: β of the effective numbers.

    Returns:
      {'class_weights': `[K]`}, {'prior': `[K]`} or {}.

    Raises:
      InputError: if the name is unknown, `counts` are needed but missing, or no class has an image.
    """
    if name not in NAMES:
        raise InputError(f"loss.balance: found '{name}'; expected one of {', '.join(NAMES)}.")
    if name == 'none':
        return {}
    if counts is None:
        raise InputError(f"loss.balance: found '{name}' without class sizes; expected the images "
                         'of each class.')
    drawn = counts if drawn is None else drawn
    if name == 'weights':
        return {'class_weights': _weights(
            lambda sizes: class_weights.balanced(sizes, weight_cap), counts)}
    if name == 'effective':
        return {'class_weights': _weights(
            lambda sizes: class_weights.effective(sizes, effective_beta), drawn)}
    return {'prior': shares(filled(drawn))}


def filled(counts):
    """Class sizes `[K]`, with the smallest non-zero size in place of each 0.

    Use it where 0 has no value, such as in a logarithm.
    """
    counts = np.asarray(counts)
    present = counts[counts != 0]
    return np.where(counts == 0, present.min(), counts) if present.size else counts


def inverse_shares(counts):
    """1 / (K·π) of each class, float32 `[K]`, K and π those of the classes with images; else 0."""
    return _weights(lambda sizes: sizes.sum() / (len(sizes) * sizes), counts)


def _weights(function, counts):
    counts = np.asarray(counts)
    weights = np.zeros(len(counts), np.float32)
    weights[counts != 0] = function(counts[counts != 0])
    return weights


def shares(prior, name='prior'):
    """Class sizes or a prior `[K]`, divided by their sum: π, float64 `[K]`.

    Raises:
      InputError: if an entry is not finite or not above 0.
    """
    prior = np.asarray(prior, np.float64)
    if prior.ndim != 1 or prior.size < 2:
        raise InputError(f'{name}: found shape {prior.shape}; expected one number a class.')
    bad = np.flatnonzero(~(prior > 0) | ~np.isfinite(prior))
    if bad.size:
        raise InputError(f'{name}: found {prior[bad[0]]:g} for class {bad[0]} ({bad.size} such '
                         'classes); expected numbers above 0, as log 0 has no value.')
    return prior / prior.sum()


def log_prior(prior, tau=1.0):
    """τ·log π, which logit adjustment adds to the logits within the loss.

    Menon et al. 2021, "Long-tail learning via logit adjustment", equation 10. A model trained with
    the cross-entropy of z + τ·log π gives logits z as if all classes were equally frequent.
    With τ = 1 it is the balanced softmax of Ren et al. 2020, "Balanced Meta-Softmax".

    Args:
      prior: `[K]` numbers above 0, such as class sizes; they are divided by their sum.
      tau: τ, 0 to 10.

    Returns:
      float32 `[K]`.

    Raises:
      InputError: if a number is out of range.

    Example:
      >>> log_prior([3, 1])
      array([-0.2876821, -1.3862944], dtype=float32)
    """
    fields.check('loss.tau', tau)
    return (tau * np.log(shares(prior))).astype(np.float32)


def start_bias(classes, start=10):
    """ε = ln((K−1) / (c−1)): the logit bias that raises p = 1/K of the true class to 1/c.

    See `bsce.bsce`.

    Args:
      classes: K ≥ 2.
      start: c ≥ 2.
    """
    return math.log((classes - 1) / (start - 1))
