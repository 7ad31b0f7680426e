"""config.strategy → tf.distribute.Strategy, and data sets that are split over its replicas."""

import functools
import json
import os
import re

import tensorflow as tf

from bsce_tf import fields
from bsce_tf.errors import InputError

_MOST_TASKS = 1024  # more than one node runs
_CPU = '/job:localhost/replica:0/task:0/device:CPU:0'
NAMES = fields.choices('strategy')


def create(name='auto', replicas=0):
    """Makes the strategy. Call it before TensorFlow initialises its devices.

    Args:
      name: 'one': one device; 'mirrored': MirroredStrategy over the devices of this machine;
        'multiworker': MultiWorkerMirroredStrategy over the workers that TF_CONFIG names, or else
        over the tasks of a Slurm step; 'auto': multiworker if TF_CONFIG names several workers,
        else mirrored if there are several GPUs or replicas, else one device.
      replicas: number of devices of this machine; 0: all GPUs, or one CPU device. Without a GPU,
        the CPU is divided into that many logical devices.

    Returns:
      tf.distribute.Strategy.

    Raises:
      InputError: if the name is unknown, TF_CONFIG cannot be used or there are fewer GPUs than
        replicas.
    """
    if name not in NAMES:
        raise InputError(f"strategy: found '{name}'; expected one of {', '.join(NAMES)}.")
    workers = _workers()
    if name == 'multiworker' or (name == 'auto' and len(workers) > 1):
        return _multi_worker(workers, replicas)
    return of_this_machine(name, replicas)


def of_this_machine(name='auto', replicas=0):
    """As `create`, but with the devices of this machine only; ignores TF_CONFIG."""
    devices = _devices(replicas)
    if name == 'one' or (name != 'mirrored' and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return mirrored(tuple(devices))


@functools.cache
def mirrored(devices):
    """The MirroredStrategy over a tuple of devices, made once for each process.

    Two strategies would give their collective operations the same keys, and TensorFlow could then
    combine operations of different shapes.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def is_chief(name):
    """Whether this process is the chief. It can be asked before the strategy is made.

    Args:
      name: of the strategy, see `create`.
    """
    return worker_number(name) == 0


def worker_number(name):
    """Number of this worker, 0 for the chief, as `is_chief`."""
    workers = _workers()
    if len(workers) > 1 and name in ('auto', 'multiworker'):
        config = json.loads(os.environ['TF_CONFIG'])
        task = config['task']
        chiefs = len(config['cluster'].get('chief', ()))
        return int(task['index']) + (chiefs if task['type'] == 'worker' else 0)
    return int(os.environ.get('SLURM_PROCID', '0')) if name == 'multiworker' else 0


def worker_name(name):
    """'worker-1' and so on; '' for the chief and for a process alone, as `is_chief`."""
    number = worker_number(name)
    return f'worker-{number}' if number else ''


def workers_of(strategy):
    """(number of this worker, number of workers). Worker 0 is the chief, which writes the files."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not (
            resolver and resolver.cluster_spec()):
        return 0, 1
    spec = resolver.cluster_spec().as_dict()
    chiefs = len(spec.get('chief', ()))
    number = resolver.task_id + (chiefs if resolver.task_type == 'worker' else 0)
    return number, chiefs + len(spec.get('worker', ()))


def from_chief(strategy, value):
    """The integer that `value()` returns on the chief, sent to every worker."""
    worker, workers = workers_of(strategy)
    if workers == 1:
        return value()
    own = tf.constant(value() if worker == 0 else 0, tf.int64)

    @tf.function(autograph=False)
    def total():
        return strategy.reduce(tf.distribute.ReduceOp.SUM,
                               strategy.run(lambda: tf.identity(own)), axis=None)

    return int(total()) // (strategy.num_replicas_in_sync // workers)


def distribute(strategy, make):
    """A data set whose global batches are split over all replicas.

    Args:
      strategy: of `create`.
      make: function of (worker, workers) that returns that worker's batches, a tf.data.Dataset.
    """
    worker, workers = workers_of(strategy)
    if workers == 1:
        batches = make((0, 1))
        if strategy.extended.worker_devices == (_CPU,):
            return batches  # distributing would only cost some ms a batch
        return strategy.experimental_distribute_dataset(batches)
    local = strategy.num_replicas_in_sync // workers

    def of_worker(_):
        batches = make((worker, workers))
        if local == 1:
            return batches
        share = next(iter(tf.nest.flatten(batches.element_spec))).shape[0]
        return batches.rebatch(share // local, drop_remainder=True)

    return strategy.distribute_datasets_from_function(of_worker)


def check_batch(batch_size, strategy):
    """Raises InputError if a global batch cannot be split evenly over the replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(f'batch_size: found {batch_size}; expected a multiple of the {replicas} '
                         'replicas.')


def _workers():
    """The addresses of the chief and the workers in TF_CONFIG; () without it."""
    text = os.environ.get('TF_CONFIG', '')
    if not text.strip():
        return ()
    wanted = ('expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", '
              '"index": 0}}')
    try:
        found = json.loads(text)
        cluster, task = found.get('cluster', {}), found.get('task', {})
        if not cluster:
            return ()
        addresses = [*cluster.get('chief', ()), *cluster.get('worker', ())]
        kind, index = task['type'], int(task['index'])
        if set(cluster) - {'chief', 'worker'} or kind not in ('chief', 'worker'):
            raise ValueError(f"task '{kind}' of {', '.join(cluster)}")
        if not 0 <= index < len(cluster.get(kind, ())):
            raise ValueError(f'{kind} {index} of {len(cluster.get(kind, ()))}')
        if any(type(a) is not str or ':' not in a for a in addresses):
            raise ValueError(f'the addresses {addresses}')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f'TF_CONFIG: found {text[:200]!r} ({error}); {wanted}.') from error
    return tuple(addresses)


def _multi_worker(workers, replicas):
    if not workers:
        os.environ['TF_CONFIG'] = json.dumps(slurm_config())
    if not tf.config.list_physical_devices('GPU'):
        _divide_cpu(max(replicas, 1))
    return tf.distribute.MultiWorkerMirroredStrategy()


def slurm_config():
    """TF_CONFIG, as a dict, for this task of a Slurm step: every task is a worker.

    Slurm assigns the GPUs: a task uses all that it sees.

    Raises:
      InputError: if the environment variables of a Slurm step are missing.
    """
    try:
        # The resolver requires at least one GPU for each task, even where it does not assign them.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            auto_set_gpu=False, gpus_per_node=_MOST_TASKS, gpus_per_task=1)
        addresses = resolver.cluster_spec().as_dict()['worker']
    except (KeyError, RuntimeError, ValueError, OSError) as error:
        raise InputError('strategy: found multiworker, but neither TF_CONFIG nor the variables '
                         f'of a Slurm step ({error}); expected one of them.') from error
    # Slurm numbers node 2 before node 10; the resolver sorts their names as text.
    addresses.sort(key=lambda text: [int(part) if part.isdigit() else part
                                     for part in re.split(r'(\d+)', text)])
    return {'cluster': {'worker': addresses},
            'task': {'type': 'worker', 'index': resolver.task_id}}


def _devices(replicas):
    gpus = tf.config.list_logical_devices('GPU') if tf.config.list_physical_devices('GPU') else []
    if gpus:
        if replicas > len(gpus):
            raise InputError(f'replicas: found {replicas}; expected at most {len(gpus)}, the GPUs '
                             'of this machine.')
        return [gpu.name for gpu in gpus[:replicas or None]]
    wanted = max(replicas, 1)
    _divide_cpu(wanted)
    return [device.name for device in tf.config.list_logical_devices('CPU')[:wanted]]


def _divide_cpu(wanted):
    cpu = tf.config.list_physical_devices('CPU')[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [0]) >= wanted:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
    except RuntimeError as error:  # TensorFlow already runs with fewer
        raise InputError(f'replicas: found {wanted}, but TensorFlow already runs on another '
                         'number of devices; expected to be set at the start.') from error
