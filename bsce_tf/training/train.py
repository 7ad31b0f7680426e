"""train(config, workdir): the whole of a training run, from top to bottom."""

import contextlib
import math

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bsce_tf import losses
from bsce_tf.data import pipeline, prepare, view
from bsce_tf.data.images import augment
from bsce_tf.data.sampler import Sampler, drawn
from bsce_tf.errors import InputError, RunError
from bsce_tf.models import classifier
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
from bsce_tf.training.callbacks import Callbacks
from bsce_tf.training.loop import Loop
from bsce_tf.training.progress import Progress
from bsce_tf.training.schedule import Schedule
from bsce_tf.training.state import State
from bsce_tf.training.steps import Steps
from bsce_tf.training.summaries import Summaries
from bsce_tf.training.tracking import Tracking
from bsce_tf.training.workdir import bad_images_of

_STAGE_SEEDS = 1_000_003  # a prime: stages draw their own images and crops


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
      callbacks: list of `keras.callbacks.Callback`, see `callbacks.Callbacks`; of one worker alone.

    Raises:
      InputError: if the data, a field or the folder is not as expected; nothing is overwritten.
      RunError: if the loss is no longer finite, a file cannot be written or a worker is lost.
      PreemptedError: after SIGTERM or Ctrl-C, when the state is saved.
    """
    folder = workdir.check(folder)
    chief = strategy.is_chief(config.strategy)
    with Terminated() as terminated, workdir.locked(folder) if chief else contextlib.nullcontext():
        _train(config, folder, data, (watch or {}, callbacks), terminated)


def _train(config, folder, data, beside, terminated):
    """`train` in a folder that this process holds; `beside` are sets to watch, and callbacks."""
    with terminated.at_once(_before_a_step(folder)):
        plan = resume.plan(folder, config, checkpoint.newest_state(folder / workdir.CHECKPOINTS))
        config = plan.config
        devices = strategy.create(config.strategy, config.replicas)
        parts = stages.resolve(config)
        for part in parts:
            _check(part, devices)
        if beside[1] and strategy.workers_of(devices)[1] > 1:
            raise InputError('callbacks: found some with several workers; expected none there, as '
                             'only the chief could call them.')
        set_up(config)
        if data is None:
            data = prepare.load(**config.data, seed=config.seed)
        workdir.check_data(folder, data)
        _check_stages(parts[checkpoint.newest_state(folder / workdir.CHECKPOINTS).stage:], data)
        set_up(config)  # once more: models that were only tried have drawn numbers
    with _lost_workers(devices):
        with terminated.at_once(_before_a_step(folder)):
            state, arrays = _restored(folder / workdir.CHECKPOINTS, devices)
        if state.stage == len(parts) - 1 and state.ended(parts[-1]):
            if plan.changes and strategy.workers_of(devices)[0] == 0:
                resume.claim(folder, plan)
            logging.info('%s: all epochs were done before', folder)
            return
        for number in range(state.stage, len(parts)):
            if number > state.stage:
                keras.backend.clear_session()
                state.next_stage()
                arrays = None
            with devices.scope():
                _train_stage(plan, parts[number], folder, data, state, arrays, devices,
                             terminated, beside)
        if terminated():  # after the last step, which asks for it, too
            raise terminated.error(f'{folder}: told to stop; all epochs are done and saved. The '
                                   'same command goes on with what follows')


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


def _train_stage(plan, config, folder, data, state, arrays, devices, terminated, beside):
    """Trains one stage, whose config is `config`, from `state` and the arrays saved with it."""
    bad = bad_images_of(config, folder)
    with terminated.at_once(_before_a_step(folder)):
        loop, arguments = _prepared(plan, config, folder, data, state, arrays, devices, terminated,
                                    beside, bad)
    strategy.from_chief(devices, lambda: 0)  # the folder is there: other workers may write, too
    with bad.raising(), contextlib.ExitStack() as stack:
        for observer in loop.observers:
            stack.push(observer.close)
        loop.run(*arguments)


def _prepared(plan, config, folder, data, state, arrays, devices, terminated, beside, bad):
    """(`Loop` of a stage, arguments of its `run`)."""
    watch, callbacks = beside
    worker, _ = strategy.workers_of(devices)
    model, steps = _build(config, folder, data, state, arrays)
    if worker == 0:
        resume.claim(folder, plan)  # only now: a bad field leaves no trace
        workdir.describe(folder, data)
    swa = averaging.Swa() if config.averaging.swa_epochs else None
    if arrays is not None:
        count = len(steps.variables)
        checkpoint.assign(steps.variables, arrays[:count], folder / workdir.CHECKPOINTS)
        if swa:
            swa.count, swa.values = state.averaged, arrays[count:]
    seed = (config.seed + _STAGE_SEEDS * state.stage) % 2**31
    sampler = Sampler(data.train.labels, data.train.num_classes, seed, config.sampler.gamma,
                      config.sampler.cap)
    epoch_steps = config.steps or max(sampler.epoch_size // config.batch_size, 1)

    def batches(start):
        return strategy.distribute(devices, lambda shard: _training_batches(
            config, data.train, sampler, seed, start, bad, shard))

    def name_images(step):
        positions = tf.range(config.batch_size, dtype=tf.int64) + step * config.batch_size
        return [data.train.name(i) for i in sampler(positions).numpy()]

    observers = []
    if worker == 0:
        _announce(config, folder, data, state, model, epoch_steps, devices)
        observers = _observers(plan.config, config, folder, epoch_steps, len(data.validation))
        if callbacks:
            observers.append(Callbacks(callbacks, model, config.epochs, epoch_steps))
    loop = Loop(config, folder, state, steps, _schedule(config, epoch_steps), swa, worker == 0,
                observers, terminated)

    def evaluated(examples):
        return strategy.distribute(devices, lambda shard: pipeline.evaluation(
            examples, [steps.network.view], config.batch_size, bad, shard=shard,
            full=devices.num_replicas_in_sync > 1))

    return loop, (batches(state.epoch * epoch_steps + state.step), evaluated(data.validation),
                  lambda: batches(0), name_images,
                  {name: evaluated(examples) for name, examples in watch.items()})


def _build(config, folder, data, state, arrays):
    """(model, `Steps`) of a stage; weights from a checkpoint are not loaded yet."""
    first = config.model.weights if state.stage == 0 and arrays is None else ''
    model = make_model(config, data.train.num_classes, data.train.channels, first or None)
    if state.stage and arrays is None:
        best = workdir.read(folder).weights
        classifier.load_weights(model, best, new_head=True)
    ema = averaging.Ema(model, config.averaging.ema) if config.averaging.ema else None
    settings = dict(config.optimizer)
    accumulate = settings.pop('accumulate')
    optimizer = optimizers.make(model, **settings, scale_loss=config.precision == 'mixed_float16')
    seen = view.of(config.image, data.train.channels).at((config.image.eval_scale,))
    return model, Steps(model, seen, optimizer, make_loss(config, data.train.counts),
                        data.train.num_classes, config.batch_size, config.jit_compile, ema,
                        accumulate)


def _training_batches(config, examples, sampler, seed, start, bad, shard):
    return pipeline.training(
        examples, sampler, view.of(config.image, examples.channels), batch_size=config.batch_size,
        augmentation=augment.Augmentation(**config.augment), seed=seed, start=start, shard=shard,
        bad=bad, numbered=losses.row(config.loss.name).numbered)


def _schedule(config, epoch_steps):
    fields = {name: value for name, value in config.schedule.items()
              if name in Schedule._fields}
    return Schedule(base=config.optimizer.learning_rate, steps=config.epochs * epoch_steps,
                    epoch_steps=epoch_steps, **fields)


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


def _observers(run, config, folder, epoch_steps, validation_images):
    batches = math.ceil(validation_images / config.batch_size)
    observers = [Progress(config.epochs, epoch_steps, batches),
                 Summaries(folder / workdir.TENSORBOARD)]
    if config.tracking != 'none':
        observers.append(Tracking(config.tracking, folder, run.to_dict()))
    return observers


def _announce(config, folder, data, state, model, epoch_steps, devices):
    """One line on what is about to run."""
    kinds = sorted({device.rsplit('/', 1)[-1].removeprefix('device:').split(':')[0]
                    for device in devices.extended.worker_devices})
    print(f'{folder}: stage {state.stage}, {config.loss.name}, {config.model.backbone}, '
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
    different = {(part.image.size, tuple(part.model.freeze), part.model.head): part
                 for part in parts[1:]}
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
