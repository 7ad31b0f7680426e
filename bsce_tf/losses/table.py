"""Table of the losses that `loss.name` may name. To add one, write a file and a row here."""

from typing import NamedTuple

import keras
import numpy as np

from bsce_tf import class_weights, parts
from bsce_tf.errors import InputError
from bsce_tf.losses import balance
from bsce_tf.losses.bsce import BalancedSymmetricCrossEntropy
from bsce_tf.losses.elr import EarlyLearningLoss
from bsce_tf.losses.focal import FocalLoss
from bsce_tf.losses.gce import GeneralisedCrossEntropy
from bsce_tf.losses.ldam import LDAMLoss
from bsce_tf.losses.nce_rce import NormalisedReverseCrossEntropy
from bsce_tf.losses.seesaw import SeesawLoss

BY_NAME = 'by_name'  # value of a config field: take what the loss's row says


class Row(NamedTuple):
    """A loss of the table.

    Attributes:
      loss: the class.
      balance: the value that `loss.balance` = 'by_name' stands for, one of `balance.NAMES`.
      arguments: {argument of the class: value}: fixed, or where its field is 'by_name'.
      fields: {argument of the class: field of config.loss that sets it}.
      counts: the class sizes that the class takes: '' for none, 'images' for training images, or
        'drawn' for those that the sampler draws in an epoch.
      soft: whether it takes soft labels, which MixUp and label smoothing make.
      numbered: whether its `call` takes image numbers, to remember each image.
      from_ce: whether it has `base.ClassLoss.from_ce`, which divided and sampled heads need.
    """

    loss: type
    balance: str = 'none'
    arguments: dict = {}
    fields: dict = {}
    counts: str = ''
    soft: bool = True
    numbered: bool = False
    from_ce: bool = False


_CE = {'alpha': 1.0, 'beta': 0.0}
_PAPER = {'alpha': 0.4, 'logit_bias': 0.0, 'reverse_on': 'raw'}
_REVERSE = {name: name for name in ('alpha', 'beta', 'log_zero', 'logit_bias', 'reverse_on')}

TABLE = {
    'ce': Row(BalancedSymmetricCrossEntropy, 'none', _CE, from_ce=True),
    'bce': Row(BalancedSymmetricCrossEntropy, 'weights', _CE, from_ce=True),
    'sce': Row(BalancedSymmetricCrossEntropy, 'none', _PAPER, _REVERSE, from_ce=True),
    'bsce': Row(BalancedSymmetricCrossEntropy, 'weights', _PAPER, _REVERSE, from_ce=True),
    'logit_adjustment': Row(BalancedSymmetricCrossEntropy, 'logit_adjustment', _CE, from_ce=True),
    'bsce_many': Row(BalancedSymmetricCrossEntropy, 'logit_adjustment',
                     {'alpha': 1.0, 'logit_bias': 'auto', 'reverse_on': 'weighted'}, _REVERSE,
                     from_ce=True),
    'focal': Row(FocalLoss, fields={'gamma': 'focal_gamma'}, from_ce=True),
    'cb_focal': Row(FocalLoss, 'effective', fields={'gamma': 'focal_gamma'}, from_ce=True),
    'ldam': Row(LDAMLoss, fields={'margin': 'ldam_margin', 'scale': 'ldam_scale'},
                counts='images'),
    'seesaw': Row(SeesawLoss, fields={'p': 'seesaw_p', 'q': 'seesaw_q'}, counts='drawn',
                  soft=False),
    'gce': Row(GeneralisedCrossEntropy, fields={'q': 'gce_q'}, from_ce=True),
    'nce_rce': Row(NormalisedReverseCrossEntropy, fields={
        'alpha': 'nce_alpha', 'beta': 'rce_beta', 'log_zero': 'log_zero'}),
    'elr': Row(EarlyLearningLoss, fields={'strength': 'elr_strength', 'memory': 'elr_memory',
                                          'kept': 'elr_kept'}, counts='images', numbered=True),
}
NAMES = tuple(TABLE)


def row(name):
    """The row of a loss. Raises InputError for an unknown name."""
    if parts.is_part(name):
        return Row(None)  # the user's own loss; see `parts`
    if name not in TABLE:
        raise InputError(f"loss.name: found '{name}'; expected one of {', '.join(NAMES)}.")
    return TABLE[name]


def balance_of(name, chosen=BY_NAME):
    """`chosen`, the value of `loss.balance`; if it is 'by_name', the balance of the loss's row."""
    return row(name).balance if chosen == BY_NAME else chosen


def make(name, counts=None, drawn=None, weight_cap=0.0,
         effective_beta=class_weights.BETA, **settings):
    """Makes a loss for a training set.

    Args:
      name: of the loss.
      counts: `[K]` training images of each class; None if the loss needs none. A class may have
        none: see `balance.loss_arguments`.
      drawn: `[K]` images of each class that the sampler draws in an epoch; default `counts`.
      weight_cap: largest of the paper's class weights; 0 for no limit.
      effective_beta: see `class_weights.effective`.
      **settings: fields of `config.loss`, of which the loss ignores those of other losses, and
        arguments that all losses have, such as reduction.

    Raises:
      InputError: if the name is unknown, a number is out of range, or class sizes are missing.
    """
    if parts.is_part(name):
        return parts.made('loss.name', name, keras.losses.Loss, counts if drawn is None else drawn)
    chosen = balance_of(name, settings.pop('balance', BY_NAME))
    found = balance.loss_arguments(chosen, counts, drawn, weight_cap, effective_beta)
    kind, seen = row(name).counts, counts if drawn is None else drawn
    if kind and counts is None:
        raise InputError(f"loss.name: found '{name}' without class sizes; expected the images of "
                         'each class.')
    if kind:
        found['counts'] = balance.filled(seen if kind == 'drawn' else counts)
    if 'prior' in found and 'reverse_on' in row(name).fields and not np.all(seen):
        found['reverse_weights'] = balance.inverse_shares(seen)  # the prior has stand-ins
    return _made(name, found, settings)


def by_name(name, class_weights=None, prior=None, counts=None, **settings):
    """Makes a loss with given class weights, prior or class sizes, as far as it uses them.

    Args:
      name: of the loss.
      class_weights: `[K]`, for a loss that is balanced by weights.
      prior: `[K]`, for a loss that is balanced by a prior.
      counts: `[K]`, for a loss that takes class sizes.
      **settings: as in `make`.

    Raises:
      InputError: as `make`.
    """
    chosen = balance_of(name, settings.pop('balance', BY_NAME))
    found = {}
    if chosen in ('weights', 'effective'):
        found['class_weights'] = class_weights
    elif chosen == 'logit_adjustment':
        if prior is None:
            raise InputError(f"loss.name: found '{name}' without a prior; expected the images of "
                             'each class.')
        found['prior'] = prior
    if row(name).counts:
        found['counts'] = counts
    return _made(name, found, settings)


def _made(name, found, settings):
    """Makes a loss from its row's arguments, those of its balance (`found`), and the settings."""
    known = {field for other in TABLE.values() for field in other.fields.values()}
    arguments = {**row(name).arguments, **found}
    for argument, field in row(name).fields.items():
        if settings.get(field, BY_NAME) != BY_NAME:
            arguments[argument] = settings[field]
    arguments.update((key, value) for key, value in settings.items() if key not in known)
    return row(name).loss(name=name, **arguments)
