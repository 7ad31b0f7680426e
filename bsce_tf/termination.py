"""Orderly stops after Ctrl-C and SIGTERM, which job schedulers send before they end a job."""

import contextlib
import os
import signal
import threading
import time

from bsce_tf.errors import PreemptedError

_NAMES = {signal.SIGTERM: 'SIGTERM', signal.SIGINT: 'Ctrl-C'}
_CTRL_C = 130  # exit status, as in shells
_ECHO = 0.2  # seconds in which a second SIGINT may be a copy, forwarded by a parent process
_watched = False  # whether a thread waits for a second Ctrl-C


class _Now(BaseException):
    """Stops the main thread where it is; no Exception, because libraries may catch those."""


class Terminated:
    """Context manager that catches SIGTERM and Ctrl-C; calling it tells whether one has arrived.

    A second Ctrl-C ends the process at once. In a thread other than the main thread, which alone
    can handle signals, the object does nothing.
    """

    def __init__(self):
        """No signal has arrived."""
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
        if kind is _Now:  # the signal arrived just after the end of `at_once`
            raise self.error('stopped; the same command resumes') from None

    def __call__(self):
        return self._signal is not None

    def error(self, message):
        """A `PreemptedError` with the message, the name of the signal and its exit status."""
        number = self._signal or signal.SIGTERM
        error = PreemptedError(f'{message} ({_NAMES[number]})')
        if number == signal.SIGINT:
            error.status = _CTRL_C
        return error

    @contextlib.contextmanager
    def at_once(self, message):
        """Context manager: a signal stops the block at once and raises `error(message)`.

        Use it only for work that may stop anywhere without harm.
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
    """Context manager: a second Ctrl-C ends the process, even during a TensorFlow step.

    Python runs signal handlers only when the main thread returns from a step, so a thread of its
    own watches. Of nested blocks (a run within an audit), the outermost starts it: the second
    Ctrl-C may arrive after the inner block has ended.
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
