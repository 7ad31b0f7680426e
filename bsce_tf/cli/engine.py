"""Spreads the parts of a mode over the machines of a Ray cluster.

Each part is one task of Ray: the same command with `part=i/n`, in a process of its own, as one
would start it by hand (see `division`). Ray chooses the machine, and starts a part again whose
process or machine died. All machines see the same folders, under the same paths, or the workdir
lies in a bucket.
"""

import os
import signal
import socket
import time
from typing import NamedTuple

from bsce_tf import division
from bsce_tf.cli import failures
from bsce_tf.errors import InputError, InUseError, PreemptedError, RunError, line
from bsce_tf.fields import rules
from bsce_tf.termination import Terminated

_TRIES = 4  # that a part has whose process or machine dies, or is told to stop
# A machine that has died may hold its locks until the server of the folder notices.
_LOCKED, _PAUSE = 300.0, 10.0  # seconds: how long a part waits for a lock, and between tries
_PRINTED = 2.0  # seconds until Ray has printed here what a process wrote
_STOPPING = 60.0  # seconds in which parts may stop in order, where Ray waits for them
_LOOK = 1.0  # seconds between two looks for a signal
# A part is not spread again; the others only so that nothing warns of them.
_WITHIN = tuple(f'--config.engine.{name}' for name in ('name=none', 'parts=0', 'cpus=0', 'gpus=0'))


class Outcome(NamedTuple):
    """What a task says of its part.

    Attributes:
      status: exit status.
      error: the line of its error; '' where that is 0.
      joined: `division.joined` of its process.
      machine: its name.
    """

    status: int
    error: str
    joined: dict
    machine: str


def spread(task, arguments, settings, most=rules.MOST_PARTS):
    """Does all parts of a mode, and returns when they are joined.

    Args:
      task: function (arguments) → exit status, which every machine can import.
      arguments: list of strings, the command line, without `part`.
      settings: ConfigDict of the fields `engine`.
      most: parts that the mode can be divided into.

    Raises:
      InputError: if Ray is missing, its cluster cannot be reached or has no machine that is large
        enough.
      RunError: if a part failed; the others are stopped. Its `status` is that of the part.
      PreemptedError: after SIGTERM or Ctrl-C; the parts are stopped.
    """
    ray = _ray()
    was_there = ray.is_initialized()
    try:
        if not was_there:
            _begin(ray)
        cpus, places = _places(ray.nodes(), settings)
        count = settings.parts or min(places, most)
        print(f'engine: {count} parts, {min(count, places)} at a time', flush=True)
        remote = ray.remote(
            num_cpus=cpus, num_gpus=settings.gpus, max_calls=1, max_retries=_TRIES - 1,
            scheduling_strategy='DEFAULT' if settings.cpus else 'SPREAD')(_part)
        again = f'the same command with --config.engine.parts={count} goes on'
        with Terminated() as terminated:
            _Parts(ray, remote, task, arguments, again, terminated).do(
                division.Division(1, count).all)
    finally:
        if not was_there:
            ray.shutdown()


def _ray():
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        import ray
    except ImportError as error:
        raise InputError(f"engine.name: 'ray' needs Ray ({error}): pip install 'bsce-tf[ray]'."
                         ) from error
    return ray


def _begin(ray):
    try:
        ray.init(logging_level='WARNING')  # finds the cluster as all programs of Ray do
    except Exception as error:  # ConnectionError, RuntimeError, ValueError and more
        raise InputError(
            f'engine.name: Ray did not begin ({type(error).__name__}: '
            f'{" ".join(str(error).split())}); expected a cluster that can be reached, at '
            'RAY_ADDRESS or on this machine, of the same versions of Ray and Python.') from error


def _places(nodes, settings):
    """(CPUs of a part, how many parts the cluster does at a time).

    With `engine.cpus` 0 that is one part a machine; with GPUs, as many as a machine's GPUs allow.
    """
    sizes = [(int(node['Resources'].get('CPU', 0)), int(node['Resources'].get('GPU', 0)))
             for node in nodes if node['Alive'] and node['Resources'].get('CPU', 0) >= 1]
    gpus = settings.gpus
    fitting = [size for size in sizes if size[1] >= gpus and size[0] >= settings.cpus]
    if not fitting:
        told = '; '.join(f'{cpu} CPUs, {gpu} GPUs' for cpu, gpu in sorted(set(sizes))[::-1][:5])
        raise InputError(
            f'engine.cpus: found {settings.cpus}, and engine.gpus {gpus}; expected what one '
            f'machine of the cluster has ({told or "there is none with a CPU"}).')
    if settings.cpus:
        return settings.cpus, sum(min(cpu // settings.cpus, gpu // gpus if gpus else cpu)
                                  for cpu, gpu in fitting)
    shares = [gpu // gpus if gpus else 1 for _, gpu in fitting]  # parts of each machine
    return min(max(cpu // share, 1) for (cpu, _), share in zip(fitting, shares, strict=True)), (
        sum(shares))


def _part(task, arguments, folder):
    """Does one part, on whatever machine; returns an `Outcome`."""
    # Ray interrupts it to stop it. Shells let what they start in the background ignore that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    end = time.monotonic() + _LOCKED
    while True:
        status = task(arguments)
        error = failures.last if status else None
        if not (isinstance(error, InUseError) and time.monotonic() < end):
            return Outcome(status, str(error or ''), dict(division.joined), socket.gethostname())
        time.sleep(_PAUSE)


class _Parts:
    """All parts, as tasks of Ray.

    Args:
      ray: the module.
      remote: remote function of `_part`.
      task, arguments: as `spread` has them.
      again: what a message tells the user to do.
      terminated: a `Terminated`.
    """

    def __init__(self, ray, remote, task, arguments, again, terminated):
        self._ray, self._remote, self._task = ray, remote, task
        self._arguments, self._again, self._terminated = arguments, again, terminated
        self._joined = {}  # that of all outcomes together
        self._waiting, self._begun = {}, {}  # reference → part; part → how often

    def do(self, parts):
        """Does them all; raises RunError if one fails, or nobody has joined them."""
        try:
            for part in parts:
                self._start(part)
            self._wait()
            if len(parts) > 1 and self._missing():  # machines may see files of others late
                time.sleep(_PAUSE)
                self._start(parts[-1])
                self._wait()
        except BaseException:
            self._stop()
            raise
        time.sleep(_PRINTED)
        if len(parts) > 1 and (missing := self._missing()):
            raise RunError(f'engine: all parts ended, and none found all of them done ({missing}); '
                           'expected that all machines see the same folders, or the same bucket.')

    def _missing(self):
        """What the parts have made that is not whole, in words; '' if all is."""
        if not self._joined:
            return 'they made nothing'
        return ', '.join(place for place, whole in self._joined.items() if not whole)

    def _start(self, part):
        self._begun[part] = self._begun.get(part, 0) + 1
        self._waiting[self._remote.options(name=part.name).remote(
            self._task, [*self._arguments, *_WITHIN, f'--config.part={part.number}/{part.count}'],
            os.getcwd())] = part

    def _wait(self):
        """Waits for all that were started."""
        while self._waiting:
            # Not for ever: Ray lets only Ctrl-C through to Python while it waits.
            ended, _ = self._ray.wait(list(self._waiting), timeout=_LOOK)
            if self._terminated():
                raise self._terminated.error(f'engine: told to stop; {self._again}')
            if not ended:
                continue
            part = self._waiting.pop(ended[0])
            outcome = self._outcome(ended[0], part)
            for place, whole in outcome.joined.items():
                self._joined[place] = whole or self._joined.get(place, False)
            # A machine that is taken away tells its processes to stop.
            if outcome.status == PreemptedError.status and self._begun[part] < _TRIES:
                self._start(part)
            elif outcome.status:
                error = RunError(f'engine: {part.name} ended on {outcome.machine} with status '
                                 f'{outcome.status} ({outcome.error or "it said nothing"}); the '
                                 f'others were stopped; {self._again}.')
                error.status = outcome.status
                raise error

    def _outcome(self, reference, part):
        """The `Outcome` of a task that has ended."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # such as a module that the machine lacks
            raise RunError(f'engine: {part.name} failed ({line(error.cause)}); expected that every '
                           'machine has this program and sees this folder.') from error
        except errors.RayError as error:
            raise RunError(f'engine: {part.name}: its process died again and again '
                           f'({line(error)}); {self._again}.') from error

    def _stop(self):
        """Stops what runs, as Ctrl-C does."""
        for reference in self._waiting:
            self._ray.cancel(reference)
        if self._waiting:
            self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=_STOPPING)
