"""From config.model.head_parts and head_sample: is the head divided or sampled, and may it be."""

import tensorflow as tf

from bsce_tf import losses, parts
from bsce_tf.errors import InputError
from bsce_tf.heads.class_variable import Division

MANY = 200_000  # 'auto' divides heads of at least this many classes


def division(config, classes):
    """The `Division` of a stage's head; None if every replica holds the whole head.

    Call it within the strategy's scope. A sampled head has a `Division` even on one replica.

    Args:
      config: ConfigDict of the stage.
      classes: K.

    Raises:
      InputError: if the config asks for a divided or sampled head, which something forbids.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    wanted, share = config.model.head_parts, config.model.head_sample
    sampled = share < 1
    if sampled and wanted == 'one' and replicas > 1:
        raise InputError(f'config.model.head_parts: found one with model.head_sample = {share:g} '
                         f'and {replicas} replicas; expected auto or replicas: a sampled head is '
                         'divided among them.')
    divided = replicas > 1 and (wanted == 'replicas' or (
        wanted == 'auto' and classes >= MANY and not obstacle(config)))
    if not sampled and not divided:
        return None
    if reason := obstacle(config):
        raise InputError(f'config.model.{"head_sample" if sampled else "head_parts"}: found '
                         f'{share if sampled else wanted} with {reason}')
    if classes < replicas:
        raise InputError(f'config.model.head_parts: found {wanted} with {classes} classes; '
                         f'expected at least {replicas}, one for each replica.')
    return Division(classes)


def obstacle(config):
    """Why the head of a stage can be neither divided nor sampled; '' if it can."""
    loss, smoothing = config.loss.name, config.loss.label_smoothing
    known = ', '.join(name for name, row in losses.TABLE.items() if row.from_ce)
    found = (
        (parts.is_part(config.model.head), f"model.head '{config.model.head}'; expected linear, "
         'cosine or tau.'),
        (not losses.row(loss).from_ce, f'loss.name {loss}; expected one that needs only log p '
         f'of the labelled class: {known}.'),
        (smoothing and loss in ('focal', 'cb_focal', 'gce'), f'loss.label_smoothing = {smoothing} '
         f'and loss.name {loss}; expected 0, or another loss.'),
        (config.augment.mixup or config.augment.cutmix, 'MixUp or CutMix, which need soft labels; '
         'expected augment.mixup and augment.cutmix to be 0.'),
        (config.optimizer.name != 'sgd', f'optimizer.name {config.optimizer.name}; expected sgd.'),
        (config.optimizer.accumulate > 1, f'optimizer.accumulate = {config.optimizer.accumulate}; '
         'expected 1.'),
        (config.jit_compile, 'jit_compile; expected False.'),
        ('head' in config.model.freeze, "'head' in model.freeze; expected it to train."))
    return next((reason for bad, reason in found if bad), '')
