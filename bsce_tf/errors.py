"""Errors that `main.py` tells in one line, without a traceback, and its exit status for each."""


class InputError(ValueError):
    """Bad input: one line that names the file, key or flag, what was found, what was expected."""

    status = 2


class RunError(RuntimeError):
    """A run that cannot go on: one line that says at what point and why."""

    status = 1


class PreemptedError(RunError):
    """A run that was told to stop (SIGTERM) and saved its state: the same command goes on."""

    status = 75  # EX_TEMPFAIL of sysexits.h: try again later
