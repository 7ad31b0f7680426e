"""A training run, from its checks to the end of its last stage."""

import contextlib
import math
import pathlib
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import logging

from bsce_tf import files
from bsce_tf.data import prepare
from bsce_tf.data.examples import Splits
from bsce_tf.errors import InputError, RunError
from bsce_tf.heads import choice
from bsce_tf.termination import Terminated
from bsce_tf.training import build, checkpoint, resume, stages, strategy, workdir
from bsce_tf.training.batches import Batches
from bsce_tf.training.loop import Loop
from bsce_tf.training.observers.callbacks import Callbacks
from bsce_tf.training.observers.progress import Progress
from bsce_tf.training.observers.summaries import Summaries
from bsce_tf.training.observers.tracking import Tracking
from bsce_tf.training.state import State
from bsce_tf.training.workdir import BAD_IMAGES, bad_images_of


def train(config, folder, data=None, watch=None, callbacks=()):
    """Trains what `config` describes and writes the run to `folder`; resumes a stopped run.

    Every stage of `config.stages` starts with the best weights of the stages before it and a new
    optimizer. With several workers, each of them calls this function, and all must see the same
    folder, or mirrors of it (`remote.shared`). Only the chief writes to it, except that every
    worker lists the bad images it finds.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path; the folder is missing, empty or holds the same run.
      data: `examples.Splits` with a validation set, used instead of `config.data`. To resume a run,
        pass the same data again.
      watch: {name: `Examples`}: extra sets to evaluate after every epoch. Their errors are written
        to metrics.csv as NAME_mean_top1_error (NAME_ema_… and NAME_swa_… for averaged weights).
        They do not influence the training or the choice of weights.
      callbacks: list of `keras.callbacks.Callback`, see `observers.callbacks`. Only for one worker.

    Raises:
      InputError: if the data, a field or the folder is not as expected; nothing is overwritten.
      RunError: if the loss is no longer finite, a file cannot be written or a worker is lost.
      PreemptedError: after SIGTERM or Ctrl-C, once the state is saved.
    """
    folder = workdir.check(folder)
    chief = strategy.is_chief(config.strategy)
    with Terminated() as terminated, workdir.locked(folder) if chief else contextlib.nullcontext():
        job = _make_job(config, folder, data, watch or {}, callbacks, terminated)
        with _lost_workers(job.devices):
            _train_stages(job)


class Job(NamedTuple):
    """What all stages of a run share.

    Attributes:
      plan: the `resume.Plan`; it holds the config.
      stages: list of ConfigDicts, one for each stage.
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
        """Context manager for work before the first step: a signal stops it at once."""
        return self.terminated.at_once(_stopped_before_a_step(self.folder))


def _make_job(config, folder, data, watch, callbacks, terminated):
    """Makes every check that is possible before the run's own network is built; gives the `Job`."""
    with terminated.at_once(_stopped_before_a_step(folder)):
        state = checkpoint.newest_state(folder / workdir.CHECKPOINTS)
        plan = resume.plan(folder, config, state)
        config = plan.config
        devices = strategy.create(config.strategy, config.replicas)
        stage_configs = stages.resolve(config)
        for stage_config in stage_configs:
            build.check_replicas(stage_config, devices)
        if callbacks and strategy.workers_of(devices)[1] > 1:
            raise InputError('callbacks: found some with several workers; expected none there, as '
                             'only the chief could call them.')
        set_up(config)
        if data is None:
            data = prepare.load(**config.data, seed=config.seed)
        workdir.check_data(folder, data)
        with devices.scope():  # a head is divided among the replicas
            for stage_config in stage_configs:
                choice.division(stage_config, data.train.num_classes)
        build.check_stages(stage_configs[state.stage:], data)
        set_up(config)  # again, because the checks have drawn random numbers
    return Job(plan, stage_configs, folder, data, watch, callbacks, devices, terminated)


def _train_stages(job):
    """Trains to the end of the last stage, from the newest checkpoint if there is one."""
    with job.stopping_at_once():
        state, arrays = _load_checkpoint(job.folder / workdir.CHECKPOINTS, job.devices)
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
            if not job.chief:  # the chief wrote the best weights before all met in `Loop.save`
                files.refresh(job.folder)
        with job.devices.scope():
            _train_stage(job, state, arrays)
    if job.terminated():  # the signal came after the last step
        raise job.terminated.error(f'{job.folder}: told to stop; all epochs are done and saved. '
                                   'The same command resumes with what follows')


def _stopped_before_a_step(folder):
    return (f'{folder}: told to stop before a step was done; the same command resumes from the '
            'last checkpoint, or begins')


def set_up(config):
    """Sets the global state of TensorFlow and Keras: seeds, determinism, precision."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(config.precision)


def _train_stage(job, state, arrays):
    """Trains the stage that `state` is in; `arrays` are those of its checkpoint, or None."""
    config = job.stages[state.stage]
    worker = strategy.workers_of(job.devices)[0]
    shared = worker and files.mirror_of(job.folder)  # there is no adding to a file in a bucket
    name = f'bad_images.worker-{worker}.csv' if shared else BAD_IMAGES
    bad = bad_images_of(config, job.folder, name)
    with job.stopping_at_once():
        loop = _make_loop(job, config, state, arrays, bad)
    # Other workers wait here until the chief has made the folder, which they write to, too.
    strategy.from_chief(job.devices, lambda: 0)
    with bad.raising(), contextlib.ExitStack() as stack:
        for observer in loop.observers:
            stack.push(observer.close)
        loop.run()


def _make_loop(job, config, state, arrays, bad):
    folder, data, weights = job.folder, job.data, None
    if arrays is None:
        weights = workdir.read(folder).weights if state.stage else config.model.weights
    batches = Batches(config, state.stage, data, job.watch, job.devices, bad)
    trainer = build.make_trainer(config, data.train, batches.view, weights)
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


def _load_checkpoint(checkpoints, devices):
    """(State, arrays) of the newest undamaged checkpoint, the same on every worker.

    Without a checkpoint: (a new State, None).
    """
    if strategy.workers_of(devices)[0] == 0:
        found = checkpoint.load(checkpoints)
        if found:
            checkpoint.set_aside(checkpoints, found[0])
    number = strategy.from_chief(devices, lambda: found[1].total if found else -1)
    if number < 0:
        return State(), None
    if strategy.workers_of(devices)[0] != 0:
        files.refresh(checkpoints)
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
    """Prints one line that describes the stage."""
    data, devices = job.data, job.devices
    kinds = sorted({device.rsplit('/', 1)[-1].removeprefix('device:').split(':')[0]
                    for device in devices.extended.worker_devices})
    print(f'{job.folder}: stage {state.stage}, {config.loss.name}, {config.model.backbone}, '
          f'{model.count_params():,} parameters; {len(data.train):,} training and '
          f'{len(data.validation):,} validation images, {data.train.num_classes:,} classes; '
          f'{devices.num_replicas_in_sync} × {"/".join(kinds)}, batch {config.batch_size}, '
          f'{epoch_steps} steps an epoch, epoch {state.epoch + 1} to {config.epochs}', flush=True)


@contextlib.contextmanager
def _lost_workers(devices):
    """Replaces TensorFlow's error about a lost worker by a RunError of one line, and logs it."""
    try:
        yield
    except tf.errors.OpError as error:
        worker, workers = strategy.workers_of(devices)
        if workers == 1:
            raise
        logging.error('%s', error)
        raise RunError(f'worker {worker} of {workers}: another worker stopped answering; expected '
                       'all of them to run. Start all with the same command, and the run resumes '
                       'from its last checkpoint.') from error
