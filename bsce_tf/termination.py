"""SIGTERM, as job schedulers send it before they take a machine away, and Ctrl-C."""

import contextlib
import os
import signal
import threading
import time

from bsce_tf.errors import PreemptedError

_NAMES = {signal.SIGTERM: 'SIGTERM', signal.SIGINT: 'Ctrl-C'}
_CTRL_C = 130  # exit status, as shells have it
_ECHO = 0.2  # seconds in which a second Ctrl-C is the first, handed on by a parent process
_watched = False  # whether a thread waits for a second Ctrl-C


class _Now(BaseException):
    """Raised where the main thread is; not an Exception, which libraries may catch."""


class Terminated:
    """Within the block SIGTERM and Ctrl-C are noted; calling the object tells whether one came.

    A second Ctrl-C ends the process at once, whatever it does. Signals can be handled in the main
    thread alone; in another, nothing is changed.
    """

    def __init__(self):
        """Not told to stop yet."""
        self._signal = None
        self._at_once = False
        self._leave = contextlib.ExitStack()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in _NAMES:
                self._leave.callback(signal.signal, number, signal.signal(number, self._note))
            self._leave.enter_context(_second_ctrl_c_ends())
        return self

    def __exit__(self, kind, *_):
        self._leave.close()
        if kind is _Now:  # it came between the end of `at_once` and the next line
            raise self.error('stopped; the same command goes on') from None

    def __call__(self):
        return self._signal is not None

    def error(self, message):
        """A `PreemptedError` that says by what; the exit status is that of the signal."""
        number = self._signal or signal.SIGTERM
        error = PreemptedError(f'{message} ({_NAMES[number]})')
        if number == signal.SIGINT:
            error.status = _CTRL_C
        return error

    @contextlib.contextmanager
    def at_once(self, message):
        """Within the block a signal ends the block wherever it is, by `error(message)`.

        For what leaves nothing half-done when it ends anywhere.
        """
        try:
            self._at_once = True
            if self():
                raise _Now
            yield
        except _Now:
            raise self.error(message) from None
        finally:
            self._at_once = False

    def _note(self, number, _):
        self._signal = self._signal or number
        if self._at_once:
            self._at_once = False
            raise _Now


@contextlib.contextmanager
def _second_ctrl_c_ends():
    """Python's handlers wait until the main thread comes back from a step; a thread does not.

    Of blocks within each other, as a run's in an audit, the outermost watches for all: the second
    Ctrl-C may come when the inner one is left already.
    """
    global _watched
    if _watched:
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read,), daemon=True).start()
    _watched = True
    try:
        yield
    finally:
        _watched = False
        signal.set_wakeup_fd(before)
        os.close(write)


def _watch(read):
    first = None
    while found := os.read(read, 1):
        if found[0] != signal.SIGINT:
            continue
        if first is None:
            first = time.monotonic()
            os.write(2, b'\nstopping; Ctrl-C once more ends at once\n')
        elif time.monotonic() - first > _ECHO:
            os._exit(_CTRL_C)
    os.close(read)
