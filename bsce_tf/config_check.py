"""Checks a config before anything runs: unknown fields, types, ranges and names."""

import ast

from bsce_tf import fields, losses
from bsce_tf.errors import InputError
from bsce_tf.models import backbones
from bsce_tf.training import stages


def check(config):
    """Raises InputError that names the first field of `config` that is not as it must be.

    Args:
      config: ConfigDict with the fields of configs/default.py.
    """
    found = dict(_flat(config))
    for name, value in found.items():
        fields.check(name, value, 'config.')
    for name in fields.TABLE.keys() - found.keys():
        raise InputError(f'config.{name}: missing; expected {fields.TABLE[name].rule.expected}.')
    for stage in stages.resolve(config):
        for name, value in _flat(stage):
            fields.check(name, value, 'config.')
        _check_scales(stage)
        _check_loss(stage)
        _check_schedule(stage)


def _check_scales(config):
    size = config.image.size
    backbones.check_size(config.model.backbone, size)
    for name, scale in (('scales', min(config.image.scales)),
                        ('eval_scale', config.image.eval_scale)):
        if scale < size:
            raise InputError(f'config.image.{name}: found {scale}; expected at least image.size, '
                             f'which is {size}.')


def _check_loss(config):
    loss = config.loss
    mixed = [name for name in ('augment.mixup', 'augment.cutmix', 'loss.label_smoothing')
             if config[name.partition('.')[0]][name.partition('.')[2]]]
    if mixed and not losses.row(loss.name).soft:
        raise InputError(f'config.loss.name: found {loss.name!r} with {mixed[0]}; expected 0 '
                         'there, as this loss takes hard labels alone.')
    if loss.name == 'ldam' and loss.ldam_margin * loss.ldam_scale > 60:
        raise InputError(f'config.loss.ldam_scale: found {loss.ldam_scale}; expected ldam_scale × '
                         'ldam_margin to be 60 or less.')


def _check_schedule(config):
    floor, rate = config.schedule.min_rate, config.optimizer.learning_rate
    if floor > rate:
        raise InputError(f'config.schedule.min_rate: found {floor}; expected at most '
                         f'optimizer.learning_rate, which is {rate}.')
    if config.schedule.stop_patience and config.averaging.swa_epochs:
        raise InputError('config.schedule.stop_patience: found '
                         f'{config.schedule.stop_patience} with averaging.swa_epochs = '
                         f'{config.averaging.swa_epochs}; expected one of them to be 0: a stage '
                         'that ends early does not come to its last epochs.')


def check_override(name, text):
    """Raises InputError if `--config.<name>=<text>` names no field or has a value not allowed."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    fields.check(name, value, 'config.')


def _flat(tree, prefix=''):
    for key, value in tree.items():
        if hasattr(value, 'items'):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
