"""What all benchmarks share: taking turns, rows of the table, processes that are timed.

Needs NumPy only, so that programs in the peers' environment can import it.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

HOME = pathlib.Path(__file__).parents[1]
PEER_PYTHON = HOME / '.venv-peers' / 'bin' / 'python'
FEWEST = 5  # repeats of a row


class Row(NamedTuple):
    """A line of the table: one of ours against one of theirs.

    Attributes:
      what: what is measured, with its size.
      peer: what it is measured against.
      ours, theirs: medians with their unit.
      ratio: how it is to be read: 'theirs / ours' (larger is better) or 'ours / theirs'.
      median, low, high: of the ratios of neighbouring measurements; NaN where there are none.
      repeats: how many.
      aim: '≤ 1.0' or '≥ 1.0' for the median, '≤ 12 s' for ours; '' for none.
      met: 'yes', 'no', '' without an aim, 'failed' if it could not be measured.
      note: what else has to be known.
    """

    what: str
    peer: str
    ours: str
    theirs: str
    ratio: str
    median: float
    low: float
    high: float
    repeats: int
    aim: str
    met: str
    note: str = ''


def row(what, peer, ours, theirs, aim='', unit='s', note='', inverse=False):
    """A `Row` from costs, of which less is better.

    Args:
      what, peer, aim, note: see `Row`.
      ours, theirs: as many numbers each, neighbours in time at the same index.
      unit: of the numbers: 's', 'MB', or 's/image', 's/index' and so on, shown as a rate.
      inverse: without an aim, show ours / theirs.
    """
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    faster = not aim.startswith('≤') and not inverse
    ratios = theirs / ours if faster else ours / theirs
    median = float(np.median(ratios))
    met = ''
    if aim:
        bound, value = float(aim.split()[1]), median
        if aim.endswith(' s'):
            value = float(np.median(ours))
        met = 'yes' if (value >= bound if faster else value <= bound) else 'no'
    return Row(what, peer, shown(np.median(ours), unit), shown(np.median(theirs), unit),
               'theirs / ours' if faster else 'ours / theirs', median, float(ratios.min()),
               float(ratios.max()), len(ratios), aim, met, note)


def failed(what, reason):
    """A `Row` that says why there is no number."""
    nan = float('nan')
    return Row(what, '', '', '', '', nan, nan, nan, 0, '', 'failed', reason)


def shown(cost, unit):
    """A cost in words: '12.3 ms', '250 images/s'."""
    if unit.startswith('s/'):
        return f'{_digits(1 / cost)} {unit[2:]}s/s'.replace('indexs', 'indices')
    if unit == 's' and cost < 1:
        return f'{_digits(1000 * cost)} ms' if cost >= 1e-3 else f'{_digits(1e6 * cost)} µs'
    return f'{_digits(cost)} {unit}'


def _digits(number):
    return f'{number:,.0f}' if abs(number) >= 100 else f'{number:.3g}'


def alternate(ways, repeats, warm=1):
    """What each way costs, in turn, so that a busy machine slows all of them.

    Args:
      ways: name → function. Its cost is the float that it returns, else the seconds it took.
      repeats: turns of each.
      warm: turns before that are not counted.

    Returns:
      {name: [cost of each turn]}.
    """
    for way in ways.values():
        for _ in range(warm):
            way()
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            cost = way()
            found[name].append(cost if isinstance(cost, float) else time.perf_counter() - begin)
    return found


def peak():
    """Largest resident memory of this process so far, in MB."""
    status = pathlib.Path('/proc/self/status')
    if status.exists():  # ru_maxrss would begin with that of the process that started this one
        return _kilobytes(status, 'VmHWM') / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def from_here():
    """Resident memory now, in MB; `peak` counts from here on, where Linux allows it."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')
    return resident()


def resident():
    """Resident memory of this process now, in MB; where it is not known, the largest so far."""
    status = pathlib.Path('/proc/self/status')
    return _kilobytes(status, 'VmRSS') / 1e3 if status.exists() else peak()


def _kilobytes(status, name):
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1.024


def versions(python, *packages):
    """'name version, …' of packages in another Python's environment."""
    code = ('import importlib.metadata as m, sys; '
            'print(", ".join(f"{p} {m.version(p)}" for p in sys.argv[1:]))')
    return subprocess.run([str(python), '-c', code, *packages], check=True, capture_output=True,
                          text=True).stdout.strip()


def script(text):
    """What a program in a fresh process of this Python prints last, a JSON value."""
    found = subprocess.run(
        [sys.executable, '-c', text], capture_output=True, text=True,
        env={'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': '', **os.environ,
             'PYTHONPATH': str(HOME)})
    if found.returncode or not found.stdout.strip():
        lines = found.stderr.strip().splitlines() or [f'exit status {found.returncode}']
        raise RuntimeError(lines[-1])
    return json.loads(found.stdout.splitlines()[-1])


class Worker:
    """A process that takes a turn when asked, and tells its cost and its peak memory.

    It runs `python FILE --worker='{"kind": …}'`, which has to call `serve`.

    Args:
      python: path of a Python.
      file: a program.
      settings: JSON values for it.
      environment: variables to add.

    Attributes:
      facts: what it told when it was ready.

    Raises:
      RuntimeError: if it ends before it is ready, with its last line of errors.
    """

    def __init__(self, python, file, settings, **environment):
        # A pipe that nobody reads would fill up.
        self._errors = tempfile.TemporaryFile('w+')  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), file, f'--worker={json.dumps(settings)}'], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': '', **os.environ,
                 'PYTHONPATH': str(HOME), **environment})
        self.facts = self._answer()

    def turn(self):
        """(cost, peak memory in MB)."""
        self._process.stdin.write('go\n')
        self._process.stdin.flush()
        return tuple(self._answer())

    def __enter__(self):
        """Itself."""
        return self

    def __exit__(self, *_):
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines()
            lines = lines or [f'exit status {self._process.returncode}']
            raise RuntimeError(lines[-1])
        return json.loads(line)


def serve(step, **facts):
    """The other side of `Worker`: takes a turn for every line that comes in.

    Args:
      step: function; its cost is the float that it returns, else the seconds it took.
      **facts: JSON values to tell first.
    """
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        cost = step()
        if not isinstance(cost, float):
            cost = time.perf_counter() - begin
        print(json.dumps([cost, peak()]), flush=True)


def run(doc, rows, work=None, lists=(), **sizes):
    """The command line of a benchmark: prints its rows as they come.

    Args:
      doc: docstring of the program.
      rows: function of the options that yields `Row`s.
      work: function of a worker's settings (see `Worker`) or None.
      lists: names of options that hold words, each with (default, quick default, help).
      **sizes: options that are whole numbers: name → (default, with --quick, help).
    """
    parser = argparse.ArgumentParser(description=doc.partition('\n')[0])
    parser.add_argument('--quick', action='store_true', help='tiny sizes: only whether it works')
    parser.add_argument('--json', action='store_true', help='a JSON list for each row')
    parser.add_argument('--peer-python', default=str(PEER_PYTHON),
                        help='a Python that has benchmarks/peers.txt')
    parser.add_argument('--worker', type=json.loads, help=argparse.SUPPRESS)
    for name, (value, _, text) in sizes.items():
        parser.add_argument(f'--{name}', type=int, help=f'{text}; default {value}')
    for name, (value, _, text) in dict(lists).items():
        parser.add_argument(f'--{name}', nargs='*', help=f'{text}; default {" ".join(value)}')
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    for name, values in (sizes | dict(lists)).items():
        if getattr(options, name) is None:
            setattr(options, name, values[options.quick])
    if options.repeats < FEWEST:
        parser.error(f'--repeats: found {options.repeats}; expected at least {FEWEST}')
    for found in rows(options):
        print(json.dumps(found) if options.json else text_of(found), flush=True)


def text_of(found):
    """A `Row` as lines for people."""
    if found.met == 'failed':
        return f'{found.what}: failed: {found.note}'
    aim = f', aim {found.aim}: {found.met}' if found.aim else ''
    note = f'\n  {found.note}' if found.note else ''
    return (f'{found.what}\n  {found.ours} against {found.theirs} of {found.peer}: '
            f'{found.ratio} {found.median:.3g} [{found.low:.3g} to {found.high:.3g}] of '
            f'{found.repeats}{aim}{note}')
