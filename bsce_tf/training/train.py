"""train(config, workdir): the whole of a training run, from top to bottom."""

import keras
import tensorflow as tf
from absl import logging

from bsce_tf import class_weights, losses, metrics
from bsce_tf.data import augment, bad_images, pipeline, prepare
from bsce_tf.data.sampler import Sampler
from bsce_tf.errors import InputError
from bsce_tf.models import classifier
from bsce_tf.training import callbacks, checkpoint, layer_decay, strategy, workdir


def train(config, folder):
    """Trains what `config` describes into `folder`; a run that was stopped goes on.

    Writes config.json, classes.json, metrics.csv, best.weights.h5, tensorboard/ and checkpoints/.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path, missing, empty or of the same run.

    Raises:
      InputError: if the data, a field or the folder is not as expected; nothing is overwritten.
      RunError: if the loss is no longer finite.
    """
    devices = strategy.create(config.strategy, config.replicas)
    _check_batch(config.batch_size, devices.num_replicas_in_sync)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(config.precision)
    data = prepare.load(**config.data, seed=config.seed)
    loss = make_loss(config.loss, data.train.counts)
    sampler = Sampler(data.train.labels, data.train.num_classes, config.seed,
                      config.sampler.gamma, config.sampler.cap)
    with devices.scope():
        model = make_model(config, data.train.num_classes, data.train.channels,
                           config.model.weights or None)
        model.compile(make_optimizer(config.optimizer, model), loss, jit_compile=config.jit_compile,
                      metrics=[metrics.MeanTop1Error(data.train.num_classes)])
        folder = workdir.claim(folder, config.to_dict())  # only now: a bad field leaves no trace
        workdir.describe(folder, data.train)
        _fit(model, config, data, sampler, folder)


def make_loss(fields, counts):
    """The loss of `config.loss` for a training set with `counts` images a class."""
    settings = dict(fields)
    cap = settings.pop('weight_cap') or None
    weighted = losses.uses_class_weights(settings['name'])
    return losses.by_name(class_weights=class_weights.balanced(counts, cap) if weighted else None,
                          **settings)


def make_model(config, num_classes, channels, weights=None):
    """The classifier of `config.model` and `config.image`.

    Args:
      config: ConfigDict of a stage.
      num_classes: K.
      channels: of the images, 1 or 3.
      weights: what to start from, see `classifier.build`; None where weights are loaded later.
    """
    model = classifier.build(
        config.model.backbone, num_classes, weights,
        image_size=config.image.size, channels=channels, pooling=config.model.pooling,
        dropout=config.model.dropout, head=config.model.head, freeze=config.model.freeze,
        scale=config.model.head_scale, learn_scale=config.model.head_learn_scale,
        tau=config.model.head_tau)
    if config.model.sync_batch_norm:
        classifier.synchronise_batch_norm(model)
    return strategy.DistributedModel(model.inputs, model.outputs[0], name=model.name)


def make_optimizer(fields, model):
    """The Keras optimizer of `config.optimizer` for the classifier `model`."""
    return layer_decay.SGD(fields.learning_rate, momentum=fields.momentum,
                           weight_decay=fields.weight_decay or None,
                           factors=layer_decay.factors(model, fields.layer_decay))


def bad_images_of(config, folder):
    """What the run in `folder` does about images that cannot be read, as `config.data` says."""
    return bad_images.BadImages(config.data.on_error, config.data.max_bad_fraction,
                                config.data.max_pixels, folder / workdir.BAD_IMAGES, config.seed)


def evaluation_batches(config, examples, bad):
    """Batches of a validation or test set as `config.image` crops them."""
    image = config.image
    return pipeline.evaluation(
        examples, batch_size=config.batch_size, size=image.size, scale=image.eval_scale,
        aspect=image.aspect, antialias=image.antialias, bad=bad)


def _training_batches(config, examples, sampler, start, bad):
    image = config.image
    return pipeline.training(
        examples, sampler, batch_size=config.batch_size, size=image.size, scales=image.scales,
        seed=config.seed, start=start, crop=image.crop, area=image.area,
        aspect_ratio=image.aspect_ratio, aspect=image.aspect, antialias=image.antialias,
        augmentation=augment.Augmentation(**config.augment), bad=bad)


def _fit(model, config, data, sampler, folder):
    steps = max(sampler.epoch_size // config.batch_size, 1)
    history = callbacks.History(folder / workdir.METRICS)
    plateau = callbacks.Plateau(config.schedule.factor, config.schedule.patience)
    best = callbacks.BestWeights(folder)
    saved = checkpoint.Checkpoint(folder / workdir.CHECKPOINTS / 'last.h5', plateau, best, history)
    done = saved.restore(model)
    if done >= config.epochs:
        logging.info('%s: all %d epochs were done before', folder, done)
        return
    print(f'{folder}: {config.loss.name}, {config.model.backbone}, {model.count_params():,} '
          f'parameters; {len(data.train):,} training and {len(data.validation):,} validation '
          f'images, {data.train.num_classes:,} classes; {steps} steps an epoch, '
          f'epoch {done + 1} to {config.epochs}')
    bad = bad_images_of(config, folder)
    with bad.raising():
        model.fit(
            _training_batches(config, data.train, sampler, done * steps, bad), shuffle=False,
            epochs=config.epochs, initial_epoch=done, steps_per_epoch=steps,
            validation_data=evaluation_batches(config, data.validation, bad),
            callbacks=[callbacks.StopWhenNotFinite(), plateau, history, best,
                       keras.callbacks.TensorBoard(folder / workdir.TENSORBOARD,
                                                   write_graph=False),
                       saved])


def _check_batch(batch_size, replicas):
    if batch_size % replicas:
        raise InputError(f'batch_size: found {batch_size}; expected a multiple of the {replicas} '
                         'replicas.')
