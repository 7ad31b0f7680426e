"""config.strategy → tf.distribute.Strategy, and how data sets are shared over its replicas."""

import functools
import json
import os
import re

import tensorflow as tf

from bsce_tf import fields
from bsce_tf.errors import InputError

_MOST_TASKS = 1024  # on a node
_CPU = '/job:localhost/replica:0/task:0/device:CPU:0'
NAMES = fields.choices('strategy')


def create(name='auto', replicas=0):
    """The strategy for this machine. Call it before anything else of TensorFlow runs.

    Args:
      name: 'one': one device; 'mirrored': MirroredStrategy over the devices of this machine;
        'multiworker': MultiWorkerMirroredStrategy over the workers that TF_CONFIG names, or else
        over the tasks of a Slurm step; 'auto': multiworker where TF_CONFIG names several workers,
        else mirrored where there are several GPUs or replicas, else one device.
      replicas: how many devices of this machine; 0: all GPUs, or one CPU device. Without a GPU,
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
    """As `create`, of the devices of this machine alone, whatever TF_CONFIG says."""
    devices = _devices(replicas)
    if name == 'one' or (name != 'mirrored' and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return mirrored(tuple(devices))


@functools.cache
def mirrored(devices):
    """The MirroredStrategy over a tuple of devices: one a process.

    Several would number their collective operations alike, and one could then meet the operations
    of another, of other shapes.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def is_chief(name):
    """Whether this process is the one that writes files, before a strategy is made.

    Args:
      name: as of `create`.
    """
    workers = _workers()
    if len(workers) > 1 and name in ('auto', 'multiworker'):
        config = json.loads(os.environ['TF_CONFIG'])
        task = config['task']
        return int(task['index']) == 0 and (
            task['type'] == 'chief' or 'chief' not in config['cluster'])
    return name != 'multiworker' or os.environ.get('SLURM_PROCID', '0') == '0'


def workers_of(strategy):
    """(number of this worker, number of workers); the worker 0 is the chief, who writes files."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not (
            resolver and resolver.cluster_spec()):
        return 0, 1
    spec = resolver.cluster_spec().as_dict()
    chiefs = len(spec.get('chief', ()))
    number = resolver.task_id + (chiefs if resolver.task_type == 'worker' else 0)
    return number, chiefs + len(spec.get('worker', ()))


def from_chief(strategy, value):
    """A whole number that the chief knows: its `value()`, on every worker."""
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
    """A data set whose global batches are shared over all replicas.

    Args:
      strategy: of `create`.
      make: function of (worker, workers) that gives the batches of that worker, a tf.data.Dataset.
    """
    worker, workers = workers_of(strategy)
    if workers == 1:
        batches = make((0, 1))
        if strategy.extended.worker_devices == (_CPU,):
            return batches  # nothing to share or to copy, which would cost some ms a batch
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
    """Raises InputError if a global batch cannot be shared evenly."""
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
    """The TF_CONFIG of this task of a Slurm step, a worker a task, as a dict.

    GPUs are left to Slurm: a task uses those that it sees.

    Raises:
      InputError: if the variables of a step are not there.
    """
    try:
        # Its own sharing of GPUs needs one for every task at least, so it is told that there are.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            auto_set_gpu=False, gpus_per_node=_MOST_TASKS, gpus_per_task=1)
        addresses = resolver.cluster_spec().as_dict()['worker']
    except (KeyError, RuntimeError, ValueError, OSError) as error:
        raise InputError('strategy: found multiworker, but neither TF_CONFIG nor the variables '
                         f'of a Slurm step ({error}); expected one of them.') from error
    # Slurm numbers tasks by node 2 before node 10, the resolver as text.
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
    except RuntimeError as error:  # TensorFlow has begun with fewer
        raise InputError(f'replicas: found {wanted}, but TensorFlow already runs on another '
                         'number of devices; expected to be set at the start.') from error
