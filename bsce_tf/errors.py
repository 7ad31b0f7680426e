"""Errors that the command line prints in one line, without a traceback; each has an exit status."""

import difflib


class InputError(ValueError):
    """Bad input: one line that names the file, key or flag, what was found, what was expected."""

    status = 2


class RunError(RuntimeError):
    """A run that cannot continue: one line that says at what point and why."""

    status = 1


class InUseError(RunError):
    """A folder that another process holds, see `locks`."""


class StorageError(RunError):
    """A bucket or server that does not answer; the same command goes on when it does."""


class PreemptedError(RunError):
    """A run that was told to stop and saved its state: the same command continues it."""

    status = 75  # EX_TEMPFAIL of sysexits.h: try again later; 130 after Ctrl-C


def line(error):
    """An error of any kind in one line: its class and the first line of its message."""
    return f'{type(error).__name__}: {error}'.splitlines()[0]


def alike(name, names):
    """' (did you mean X?)' for the name most like a mistyped one; '' where none is like it.

    Args:
      name: string; upper and lower case count as the same.
      names: iterable of strings.
    """
    known = {other.lower(): other for other in names}
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f' (did you mean {known[near[0]]}?)' if near else ''
