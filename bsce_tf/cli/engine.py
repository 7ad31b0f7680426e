"""Spreads the parts of a mode over the machines of a Ray cluster.

Each part is one task of Ray: the same command with `part=i/n`, in a process of its own, as one
would start it by hand (see `division`). Ray chooses the machine, and starts a part again whose
process or machine died. All machines see the same folders, under the same paths.
"""

import math
import os
import signal
import socket
import time

from bsce_tf import division
from bsce_tf.errors import InputError, RunError
from bsce_tf.fields import rules

_TRIES = 4  # that a part has, if its process or machine dies
_PRINTED = 2  # seconds until Ray has printed here what a process wrote
# A part is not spread again; the others only so that nothing warns of them.
_WITHIN = tuple(f'--config.engine.{name}' for name in ('name=none', 'parts=0', 'cpus=0', 'gpus=0'))


def spread(task, arguments, settings):
    """Does all parts of a mode, and returns when the last one has joined them.

    Args:
      task: function (arguments) → exit status, which every machine can import.
      arguments: list of strings, the command line, without `part`.
      settings: ConfigDict of the fields `engine`.

    Raises:
      InputError: if Ray is missing, its cluster cannot be reached or has no machine that is large
        enough.
      RunError: if a part failed; it has said why. The others are stopped in order. Its `status` is
        that of the part.
    """
    try:
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise InputError(f"engine.name: 'ray' needs Ray ({error}): pip install 'bsce-tf[ray]'."
                         ) from error
    was_there = ray.is_initialized()
    try:
        if not was_there:
            ray.init(logging_level='WARNING')  # finds the cluster as all programs of Ray do
        cpus, places = _places(ray.nodes(), settings)
        count = settings.parts or places
        print(f'engine: {count} parts, {min(count, places)} at a time', flush=True)
        remote = ray.remote(num_cpus=cpus, num_gpus=settings.gpus, max_calls=1,
                            max_retries=_TRIES - 1)(_part)
        parts = division.Division(1, count).all
        _wait(ray, {remote.options(name=part.name).remote(
            task, [*arguments, *_WITHIN, f'--config.part={part.number}/{count}'], os.getcwd()): part
            for part in parts})
    except (RayError, ConnectionError) as error:
        raise InputError(f'engine.name: Ray failed ({_line(error)}); expected a cluster that can '
                         'be reached, at RAY_ADDRESS or on this machine.') from error
    finally:
        if not was_there:
            ray.shutdown()


def _places(nodes, settings):
    """(CPUs of a part, how many parts fit on the cluster at a time)."""
    free = [node['Resources'] for node in nodes if node['Alive']]
    sizes = [int(node.get('CPU', 0)) for node in free if node.get('CPU', 0) >= 1]
    cpus = settings.cpus or min(sizes, default=1)
    places = sum(min(size // cpus, _of_gpus(node, settings.gpus)) for node, size in (
        (node, int(node.get('CPU', 0))) for node in free))
    if not places:
        raise InputError(
            f'engine.cpus: found {settings.cpus}, and engine.gpus {settings.gpus}; expected what '
            f'one machine of the cluster has, which are {max(sizes, default=0)} CPUs and '
            f'{max((int(node.get("GPU", 0)) for node in free), default=0)} GPUs at most.')
    return cpus, min(places, rules.MOST_PARTS)


def _of_gpus(node, gpus):
    return int(node.get('GPU', 0)) // gpus if gpus else math.inf


def _part(task, arguments, folder):
    """Does one part, on whatever machine; returns (exit status, that machine's name)."""
    # Ray interrupts it to stop it. Shells let what they start in the background ignore that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    return task(arguments), socket.gethostname()


def _wait(ray, waiting):
    """Waits for the tasks {reference: its `Division`}; stops all if one fails."""
    failed = None
    try:
        while waiting:
            for reference in ray.wait(list(waiting))[0]:
                found = _failure(ray, reference, f'engine: {waiting.pop(reference).name}')
                if found and not failed:
                    failed = found
                    _stop(ray, waiting)
    except BaseException:  # such as Ctrl-C
        _stop(ray, waiting)
        raise
    time.sleep(_PRINTED)
    if failed:
        raise failed


def _failure(ray, reference, name):
    """The error of a task that has ended; None if it has done its part."""
    try:
        status, machine = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return RunError(f'{name} was stopped.')
    except ray.exceptions.RayTaskError as error:  # such as a module that the machine lacks
        return RunError(f'{name} failed ({_line(error.cause)}); expected that every machine has '
                        'this program and sees this folder.')
    except ray.exceptions.RayError as error:
        return RunError(f'{name}: its process died {_TRIES} times ({_line(error)}). Start the same '
                        'command again: what is done stays.')
    if not status:
        return None
    error = RunError(f'{name} ended on {machine} with status {status}, for the reason above; the '
                     'others were stopped. Start the same command again: what is done stays.')
    error.status = status
    return error


def _stop(ray, waiting):
    for reference in waiting:
        ray.cancel(reference)  # a part that runs ends as after Ctrl-C


def _line(error):
    return f'{type(error).__name__}: {error}'.splitlines()[0]
