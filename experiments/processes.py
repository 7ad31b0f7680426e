"""The same program several times at once, each on one core with one thread."""

import os
import signal
import subprocess
import sys

CORE = 'BSCE_TF_EXPERIMENT_CORE'


def run(count):
    """Starts this program `count` times and waits; in what it started, pins it to its core.

    Args:
      count: of processes; with 1 nothing happens.

    Raises:
      SystemExit: if one of them failed.
    """
    if CORE in os.environ:
        import tensorflow as tf  # not needed where others are only started
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(os.environ[CORE]) % len(cores)]})
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    elif count > 1:
        _wait([subprocess.Popen([sys.executable, *sys.orig_argv[1:]],
                                env={**os.environ, CORE: str(i)}) for i in range(count)])


def _wait(started):
    """Waits for all, and passes SIGTERM on: each saves its run, which goes on from there later."""
    def stop(number, _):
        for process in started:
            process.send_signal(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        codes = [process.wait() for process in started]
    finally:
        signal.signal(signal.SIGTERM, before)
    if any(codes):
        raise SystemExit(max(map(abs, codes)))
