"""Errors that are told in one line, without a traceback."""


class InputError(ValueError):
    """Bad input: one line that names the file, key or flag, what was found, what was expected.

    `main.py` prints the line and exits with status 2, without a traceback.
    """


class RunError(RuntimeError):
    """A run that cannot go on: one line that says at what point and why. Exit status 1."""
