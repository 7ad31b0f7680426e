"""SIGTERM, as job schedulers send it before they take a machine away."""

import signal
import threading


class Terminated:
    """Within the block SIGTERM is only noted; calling the object tells whether it came.

    Signals can be handled in the main thread alone; in another, nothing is changed.
    """

    def __init__(self):
        """Not told to stop yet."""
        self._came = threading.Event()
        self._before = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._came.set())
        return self

    def __exit__(self, *_):
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def __call__(self):
        return self._came.is_set()
