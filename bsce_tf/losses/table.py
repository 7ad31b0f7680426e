"""The losses that a config can name. A new one is a file beside this one and a row here."""

from typing import NamedTuple

import keras

from bsce_tf import parts
from bsce_tf.errors import InputError
from bsce_tf.losses import balance
from bsce_tf.losses.bsce import BalancedSymmetricCrossEntropy
from bsce_tf.losses.elr import EarlyLearningLoss
from bsce_tf.losses.focal import FocalLoss
from bsce_tf.losses.gce import GeneralisedCrossEntropy
from bsce_tf.losses.ldam import LDAMLoss
from bsce_tf.losses.nce_rce import NormalisedReverseCrossEntropy
from bsce_tf.losses.seesaw import SeesawLoss

BY_NAME = 'by_name'  # the value of a field that leaves it to the loss's row


class Row(NamedTuple):
    """A loss of the table.

    Attributes:
      loss: the class.
      balance: what 'by_name' means for `loss.balance`, one of `balance.NAMES`.
      arguments: of the class, that the name fixes, or that 'by_name' means.
      fields: {argument of the class: field of config.loss} of what the config sets.
      counts: which class sizes the class itself takes: '', 'images' of training, or 'drawn' by the
        sampler in an epoch.
      soft: whether it takes soft labels, as MixUp and label smoothing make them.
      numbered: whether it remembers each image, and so takes the images' numbers.
      sums: whether it can be told by `base.ClassLoss.of_ces`, as a head in parts needs it.
    """

    loss: type
    balance: str = 'none'
    arguments: dict = {}
    fields: dict = {}
    counts: str = ''
    soft: bool = True
    numbered: bool = False
    sums: bool = False


_CE = {'alpha': 1.0, 'beta': 0.0}
_PAPER = {'logit_bias': 0.0, 'reverse_on': 'raw'}
_REVERSE = {name: name for name in ('alpha', 'beta', 'log_zero', 'logit_bias', 'reverse_on')}

TABLE = {
    'ce': Row(BalancedSymmetricCrossEntropy, 'none', _CE, sums=True),
    'bce': Row(BalancedSymmetricCrossEntropy, 'weights', _CE, sums=True),
    'sce': Row(BalancedSymmetricCrossEntropy, 'none', _PAPER, _REVERSE, sums=True),
    'bsce': Row(BalancedSymmetricCrossEntropy, 'weights', _PAPER, _REVERSE, sums=True),
    'logit_adjustment': Row(BalancedSymmetricCrossEntropy, 'logit_adjustment', _CE, sums=True),
    'bsce_many': Row(BalancedSymmetricCrossEntropy, 'logit_adjustment',
                     {'logit_bias': 'auto', 'reverse_on': 'weighted'}, _REVERSE, sums=True),
    'focal': Row(FocalLoss, fields={'gamma': 'focal_gamma'}, sums=True),
    'cb_focal': Row(FocalLoss, 'effective', fields={'gamma': 'focal_gamma'}, sums=True),
    'ldam': Row(LDAMLoss, fields={'margin': 'ldam_margin', 'scale': 'ldam_scale'},
                counts='images'),
    'seesaw': Row(SeesawLoss, fields={'p': 'seesaw_p', 'q': 'seesaw_q'}, counts='drawn',
                  soft=False),
    'gce': Row(GeneralisedCrossEntropy, fields={'q': 'gce_q'}, sums=True),
    'nce_rce': Row(NormalisedReverseCrossEntropy, fields={
        'alpha': 'nce_alpha', 'beta': 'rce_beta', 'log_zero': 'log_zero'}),
    'elr': Row(EarlyLearningLoss, fields={'strength': 'elr_strength', 'memory': 'elr_memory',
                                          'kept': 'elr_kept'}, counts='images', numbered=True),
}
NAMES = tuple(TABLE)


def row(name):
    """The row of a loss. Raises InputError for an unknown name."""
    if parts.is_part(name):
        return Row(None)  # somebody's own, which balances as it likes; see `parts`
    if name not in TABLE:
        raise InputError(f"loss.name: found '{name}'; expected one of {', '.join(NAMES)}.")
    return TABLE[name]


def balance_of(name, chosen=BY_NAME):
    """The kind of balance of a loss: `chosen`, which is what `loss.balance` says, or its own."""
    return row(name).balance if chosen == BY_NAME else chosen


def make(name, counts=None, drawn=None, weight_cap=0.0, effective_beta=0.9999, **settings):
    """The loss that a config names, for a training set.

    Args:
      name: of the loss.
      counts: `[K]` training images of each class; None where the loss needs none.
      drawn: `[K]` images of each class in an epoch as the sampler draws them; default `counts`.
      weight_cap: largest of the paper's class weights; 0: none.
      effective_beta: see `class_weights.effective`.
      **settings: fields of `config.loss` (those that the loss does not take are left out), and
        arguments that all losses have, such as reduction.

    Raises:
      InputError: if the name is unknown, a number out of range, or class sizes are missing. A class
        without images is allowed: see `balance.of`.
    """
    if parts.is_part(name):
        return parts.made('loss.name', name, keras.losses.Loss, counts if drawn is None else drawn)
    chosen = balance_of(name, settings.pop('balance', BY_NAME))
    found = balance.of(chosen, counts, drawn, weight_cap or None, effective_beta)
    kind = row(name).counts
    if kind and counts is None:
        raise InputError(f"loss.name: found '{name}' without class sizes; expected the images of "
                         'each class.')
    if kind:
        found['counts'] = balance.filled(
            drawn if kind == 'drawn' and drawn is not None else counts)
    return _made(name, found, settings)


def by_name(name, class_weights=None, prior=None, counts=None, **settings):
    """A loss of the table with class weights, a prior or class sizes made elsewhere.

    Args:
      name: of the loss.
      class_weights: `[K]`, for a loss that is balanced by weights; others leave it out.
      prior: `[K]`, for a loss that is balanced by a prior; others leave it out.
      counts: `[K]`, for a loss that takes class sizes; others leave it out.
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
    """The loss with what its balance asks for, what its row fixes, and what the settings say."""
    known = {field for other in TABLE.values() for field in other.fields.values()}
    arguments = {**row(name).arguments, **found}
    for argument, field in row(name).fields.items():
        if settings.get(field, BY_NAME) != BY_NAME:
            arguments[argument] = settings[field]
    arguments.update((key, value) for key, value in settings.items() if key not in known)
    return row(name).loss(name=name, **arguments)
