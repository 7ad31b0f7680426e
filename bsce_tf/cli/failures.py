"""One line for every error, and a file for the traceback of those that nobody expects."""

import pathlib
import sys
import tempfile
import traceback

from bsce_tf import files
from bsce_tf.errors import InputError, RunError

LOG = 'error.log'  # the traceback of the last unexpected error
last = None  # the error that was told last

_LONGEST = 300  # characters of an unexpected error's message


def say(error, status):
    """Prints an error in one line, and keeps it; returns `status`."""
    global last
    last = error
    print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
    return status


def unexpected(error, workdir):
    """One line on an unexpected error; writes its traceback to a file."""
    words = (str(error).strip().splitlines() or [''])[0][:_LONGEST]
    return (f'{type(error).__name__}: {words}; this is a fault of the program, or of what it runs '
            f'on: its traceback is in {_keep_traceback(error, workdir)}')


def _keep_traceback(error, workdir):
    text = ''.join(traceback.format_exception(error))
    runs = [pathlib.Path(part) for part in workdir.split(',')]
    for folder in (run for run in runs if (run / 'config.json').exists()):
        try:
            files.write_text(folder / LOG, text)
            return folder / LOG
        except (OSError, InputError, RunError):  # the disk may be full, or a bucket down
            if (folder / LOG).exists():
                return folder / LOG
            break
    path = pathlib.Path(tempfile.mkdtemp(prefix='bsce-tf-')) / LOG
    files.write_text(path, text)
    return path
