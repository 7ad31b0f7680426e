"""What a stage trains with: its loss and its `Trainer`. Also the checks made before training."""

import keras
import numpy as np
from absl import logging

from bsce_tf import losses, parts
from bsce_tf.data.images import augment, own_policy
from bsce_tf.data.sampler import drawn
from bsce_tf.errors import InputError
from bsce_tf.heads import choice
from bsce_tf.heads.divided import DividedHead
from bsce_tf.models.classifier import make_model
from bsce_tf.training import averaging, optimizers, schedule, stages, strategy
from bsce_tf.training.trainer import Trainer

_CHECKED = 1000  # classes of a head that is built as a check: one of millions takes GBs


def make_loss(config, counts):
    """The loss of a stage.

    Args:
      config: ConfigDict of the stage: `loss` and `sampler`.
      counts: `[K]`, training images of each class.
    """
    seen = drawn(counts, config.sampler.gamma, config.sampler.cap)
    kind = losses.balance_of(config.loss.name, config.loss.balance)
    if kind == 'weights' and not np.array_equal(seen, counts):
        logging.warning(
            'loss.name %s: its class weights are N / (K·n) whatever the sampler draws, and '
            'sampler.gamma %g, sampler.cap %d balance the classes once more; expected ce or sce, '
            'or loss.balance effective or logit_adjustment, which take what the sampler draws.',
            config.loss.name, config.sampler.gamma, config.sampler.cap)
    return losses.make(counts=counts, drawn=seen, **config.loss)


def make_trainer(config, examples, view, weights):
    """The `Trainer` of a stage. Call it within the strategy's scope.

    Args:
      config: ConfigDict of the stage.
      examples: the training `Examples`.
      view: the `View` of validation.
      weights: initial weights, see `classifier.build`.
    """
    division = choice.division(config, examples.num_classes)
    model = make_model(config, examples.num_classes, examples.channels, weights, division)
    settings = optimizers.Settings(**config.optimizer)
    optimizer = optimizers.make(model, settings, scale_loss=config.precision == 'mixed_float16')
    ema = averaging.Ema(model, config.averaging.ema) if config.averaging.ema else None
    loss = make_loss(config, examples.counts)
    head = division and DividedHead(model, loss, config.model.head_sample, config.seed, optimizer)
    return Trainer(model, view, optimizer, loss, config.batch_size, jit_compile=config.jit_compile,
                   ema=ema, accumulate=settings.accumulate, head=head)


def check_replicas(config, devices):
    """Raises InputError if a field of a stage's ConfigDict does not fit the number of replicas."""
    strategy.check_batch(config.batch_size, devices)
    if config.jit_compile and config.model.sync_batch_norm and devices.num_replicas_in_sync > 1:
        raise InputError('jit_compile: found True with several replicas and model.sync_batch_norm; '
                         'expected one of the two to be False, as XLA cannot cross replicas.')
    if losses.row(config.loss.name).numbered and devices.num_replicas_in_sync > 1:
        raise InputError(f'loss.name: found {config.loss.name} with {devices.num_replicas_in_sync} '
                         'replicas; expected one, which holds the memory of all images.')


def check_stages(configs, data):
    """Finds mistakes before training: builds the parts of later stages and discards them.

    A schedule and an augmentation policy are tried for every stage, as the first stage's own would
    be called only after its folder is made.

    Call it outside the strategy's scope.

    Args:
      configs: list of ConfigDicts, one for each stage still to train.
      data: the `Splits`.

    Raises:
      InputError: if a stage cannot be trained as its config says.
    """
    counts = data.train.counts
    for config in configs:
        seen = drawn(counts, config.sampler.gamma, config.sampler.cap)
        images = round(seen.sum())
        stages.check_length(config, images)
        schedule.of(config, stages.epoch_steps(config, images)).rate(0)  # it may be the user's own
        augmentation = augment.Augmentation(**config.augment)
        augment.build(augmentation)
        if parts.is_part(augmentation.policy):
            own_policy.check(augmentation.policy, config.image.size, data.train.channels)
    later = configs[1:]
    for config in later:
        make_loss(config, counts)
    different = {(config.image.size, repr(config.model.to_dict())): config for config in later}
    for config in different.values():
        make_model(config, min(data.train.num_classes, _CHECKED), data.train.channels)
        keras.backend.clear_session()
