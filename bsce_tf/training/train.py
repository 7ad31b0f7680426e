"""train(config, workdir): the whole of a training run, from top to bottom."""

import contextlib
import math
import pathlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import losses
from bsce_tf.data import prepare
from bsce_tf.data.examples import Splits
from bsce_tf.data.images import augment
from bsce_tf.data.sampler import drawn
from bsce_tf.errors import InputError, RunError
from bsce_tf.heads import choice
from bsce_tf.heads.divided import DividedHead
from bsce_tf.models.classifier import make_model
from bsce_tf.termination import Terminated
from bsce_tf.training import (
    averaging,
    checkpoint,
    optimizers,
    resume,
    stages,
    strategy,
    workdir,
)
from bsce_tf.training.batches import Batches
from bsce_tf.training.loop import Loop
from bsce_tf.training.observers.callbacks import Callbacks
from bsce_tf.training.observers.progress import Progress
from bsce_tf.training.observers.summaries import Summaries
from bsce_tf.training.observers.tracking import Tracking
from bsce_tf.training.state import State
from bsce_tf.training.trainer import Trainer
from bsce_tf.training.workdir import bad_images_of


def train(config, folder, data=None, watch=None, callbacks=()):
    """Trains what `config` describes into `folder`; a run that was stopped goes on.

    Every stage of `config.stages` begins with the best weights of those before it and a fresh
    optimizer. With several workers, all call this, and the chief alone writes, but for bad images,
    which each adds to the list; the folder must be one that all of them see.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path, missing, empty or of the same run.
      data: a `examples.Splits` with a validation set, to train on instead of what `config.data`
        tells; the same again when a run goes on.
      watch: {name: `Examples`} of further sets, whose errors metrics.csv gets after every epoch as
        NAME_mean_top1_error (of averaged weights NAME_ema_…, NAME_swa_…). No choice looks at them.
      callbacks: list of `keras.callbacks.Callback`, see `observers.callbacks`; of one worker alone.

    Raises:
      InputError: if the data, a field or the folder is not as expected; nothing is overwritten.
      RunError: if the loss is no longer finite, a file cannot be written or a worker is lost.
      PreemptedError: after SIGTERM or Ctrl-C, when the state is saved.
    """
    folder = workdir.check(folder)
    chief = strategy.is_chief(config.strategy)
    with Terminated() as terminated, workdir.locked(folder) if chief else contextlib.nullcontext():
        job = _begun(config, folder, data, watch or {}, callbacks, terminated)
        with _lost_workers(job.devices):
            _train_stages(job)


class Job(NamedTuple):
    """What all stages of a run share.

    Attributes:
      plan: the `resume.Plan`, with the config.
      stages: list of ConfigDicts, one a stage.
      folder: pathlib.Path of the run.
      data: the `examples.Splits`.
      watch, callbacks: see `train`.
      devices: tf.distribute.Strategy.
      terminated: a `Terminated`.
    """

    plan: resume.Plan
    stages: list
    folder: pathlib.Path
    data: Splits
    watch: dict
    callbacks: list
    devices: tf.distribute.Strategy
    terminated: Terminated

    @property
    def chief(self):
        """Whether this worker writes the files."""
        return strategy.workers_of(self.devices)[0] == 0

    def stopping_at_once(self):
        """A signal ends the block wherever it is: before the first step."""
        return self.terminated.at_once(_before_a_step(self.folder))


def _begun(config, folder, data, watch, callbacks, terminated):
    """The `Job`, after all checks that need no network of the run itself."""
    with terminated.at_once(_before_a_step(folder)):
        plan = resume.plan(folder, config, checkpoint.newest_state(folder / workdir.CHECKPOINTS))
        config = plan.config
        devices = strategy.create(config.strategy, config.replicas)
        parts = stages.resolve(config)
        for part in parts:
            _check(part, devices)
        if callbacks and strategy.workers_of(devices)[1] > 1:
            raise InputError('callbacks: found some with several workers; expected none there, as '
                             'only the chief could call them.')
        set_up(config)
        if data is None:
            data = prepare.load(**config.data, seed=config.seed)
        workdir.check_data(folder, data)
        with devices.scope():  # a head is divided among the replicas
            for part in parts:
                choice.division(part, data.train.num_classes)
        _check_stages(parts[checkpoint.newest_state(folder / workdir.CHECKPOINTS).stage:], data)
        set_up(config)  # once more: models that were only tried have drawn numbers
    return Job(plan, parts, folder, data, watch, callbacks, devices, terminated)


def _train_stages(job):
    """Trains from the newest checkpoint, or the beginning, to the end of the last stage."""
    with job.stopping_at_once():
        state, arrays = _restored(job.folder / workdir.CHECKPOINTS, job.devices)
    if state.stage == len(job.stages) - 1 and state.ended(job.stages[-1]):
        if job.plan.changes and job.chief:
            resume.claim(job.folder, job.plan)
        logging.info('%s: all epochs were done before', job.folder)
        return
    for number in range(state.stage, len(job.stages)):
        if number > state.stage:
            keras.backend.clear_session()
            state.next_stage()
            arrays = None
        with job.devices.scope():
            _train_stage(job, state, arrays)
    if job.terminated():  # after the last step, which asks for it, too
        raise job.terminated.error(f'{job.folder}: told to stop; all epochs are done and saved. '
                                   'The same command goes on with what follows')


def _before_a_step(folder):
    return (f'{folder}: told to stop before a step was done; the same command goes on from the '
            'last checkpoint, or begins')


def set_up(config):
    """Sets what is global in TensorFlow and Keras: seeds, determinism, precision."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(config.precision)


def make_loss(config, counts):
    """The loss of a stage for a training set with `counts` images a class.

    Args:
      config: ConfigDict of the stage: `loss` and `sampler`.
      counts: `[K]`.
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


def _train_stage(job, state, arrays):
    """Trains the stage of `state` from there, and from the arrays saved with it."""
    config = job.stages[state.stage]
    bad = bad_images_of(config, job.folder)
    with job.stopping_at_once():
        loop = _prepared(job, config, state, arrays, bad)
    # the folder is there: other workers may write, too
    strategy.from_chief(job.devices, lambda: 0)
    with bad.raising(), contextlib.ExitStack() as stack:
        for observer in loop.observers:
            stack.push(observer.close)
        loop.run()


def _prepared(job, config, state, arrays, bad):
    """The `Loop` of a stage."""
    folder, data, weights = job.folder, job.data, None
    if arrays is None:
        weights = workdir.read(folder).weights if state.stage else config.model.weights
    batches = Batches(config, state.stage, data, job.watch, job.devices, bad)
    trainer = _build(config, data.train, batches.view, weights)
    observers = []
    if job.chief:
        resume.claim(folder, job.plan)  # only now: a bad field leaves no trace
        workdir.describe(folder, data)
        _announce(job, config, state, trainer.model, batches.epoch_steps)
        observers = _observers(job, config, trainer.model, batches.epoch_steps)
    loop = Loop(config, folder, state, trainer, batches, observers, job.terminated)
    if arrays is not None:
        loop.restore(arrays)
    return loop


def _build(config, examples, seen, weights):
    """The `Trainer` of a stage.

    Args:
      config: ConfigDict of the stage.
      examples: the training `Examples`.
      seen: the `View` of validation.
      weights: to begin with, see `classifier.build`.
    """
    division = choice.division(config, examples.num_classes)
    model = make_model(config, examples.num_classes, examples.channels, weights, division)
    settings = optimizers.Settings(**config.optimizer)
    optimizer = optimizers.make(model, settings, scale_loss=config.precision == 'mixed_float16')
    ema = averaging.Ema(model, config.averaging.ema) if config.averaging.ema else None
    loss = make_loss(config, examples.counts)
    head = division and DividedHead(model, loss, config.model.head_sample, config.seed, optimizer)
    return Trainer(model, seen, optimizer, loss, config.batch_size, jit_compile=config.jit_compile,
                   ema=ema, accumulate=settings.accumulate, head=head)


def _restored(checkpoints, devices):
    """(State, arrays) of the newest whole checkpoint, the same on every worker; or a new State."""
    if strategy.workers_of(devices)[0] == 0:
        found = checkpoint.load(checkpoints)
        if found:
            checkpoint.set_aside(checkpoints, found[0])
    number = strategy.from_chief(devices, lambda: found[1].total if found else -1)
    if number < 0:
        return State(), None
    if strategy.workers_of(devices)[0] != 0:
        found = checkpoint.load(checkpoints, checkpoint.name_of(number))
    logging.info('%s: going on from %s', checkpoints, found[0])
    return found[1:]


def _observers(job, config, model, epoch_steps):
    batches = math.ceil(len(job.data.validation) / config.batch_size)
    observers = [Progress(config.epochs, epoch_steps, batches),
                 Summaries(job.folder / workdir.TENSORBOARD)]
    if config.tracking != 'none':
        observers.append(Tracking(config.tracking, job.folder, job.plan.config.to_dict()))
    if job.callbacks:
        observers.append(Callbacks(job.callbacks, model, config.epochs, epoch_steps))
    return observers


def _announce(job, config, state, model, epoch_steps):
    """One line on what is about to run."""
    data, devices = job.data, job.devices
    kinds = sorted({device.rsplit('/', 1)[-1].removeprefix('device:').split(':')[0]
                    for device in devices.extended.worker_devices})
    print(f'{job.folder}: stage {state.stage}, {config.loss.name}, {config.model.backbone}, '
          f'{model.count_params():,} parameters; {len(data.train):,} training and '
          f'{len(data.validation):,} validation images, {data.train.num_classes:,} classes; '
          f'{devices.num_replicas_in_sync} × {"/".join(kinds)}, batch {config.batch_size}, '
          f'{epoch_steps} steps an epoch, epoch {state.epoch + 1} to {config.epochs}', flush=True)


def _check(config, devices):
    strategy.check_batch(config.batch_size, devices)
    if config.jit_compile and config.model.sync_batch_norm and devices.num_replicas_in_sync > 1:
        raise InputError('jit_compile: found True with several replicas and model.sync_batch_norm; '
                         'expected one of the two to be False, as XLA cannot cross replicas.')
    if losses.row(config.loss.name).numbered and devices.num_replicas_in_sync > 1:
        raise InputError(f'loss.name: found {config.loss.name} with {devices.num_replicas_in_sync} '
                         'replicas; expected one, which holds the memory of all images.')


def _check_stages(parts, data):
    """Makes what stages are made of, so that a mistake in a later one is not found after days."""
    counts = data.train.counts
    for part in parts:
        cap = part.sampler.cap
        images = int(np.minimum(counts, cap).sum() if cap else counts.sum())
        stages.check_length(part, part.steps or max(images // part.batch_size, 1))
    for part in parts[1:]:
        augment.build(augment.Augmentation(**part.augment))
        make_loss(part, counts)
    different = {(part.image.size, repr(part.model.to_dict())): part for part in parts[1:]}
    for part in different.values():
        make_model(part, data.train.num_classes, data.train.channels)
        keras.backend.clear_session()


@contextlib.contextmanager
def _lost_workers(devices):
    """Tells in one line that another worker is gone; TensorFlow's error is logged."""
    try:
        yield
    except tf.errors.OpError as error:
        worker, workers = strategy.workers_of(devices)
        if workers == 1:
            raise
        logging.error('%s', error)
        raise RunError(f'worker {worker} of {workers}: another worker stopped answering; expected '
                       'all of them to run. Start all with the same command, and the run goes on '
                       'from its last checkpoint.') from error
