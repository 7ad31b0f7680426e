"""Processes of their own, for what a test starts, stops or kills.

A server that has imported everything, and run nothing, forks them: an import of TensorFlow takes
seconds. Start a new interpreter only where the test is about the imports or the environment.
"""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile

from bsce_tf import cli

SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['tests.preloaded'])
_TIMEOUT = 300  # seconds


def program(*flags):
    """What `python main.py FLAGS` does."""
    sys.argv = ['main.py', *flags]
    cli.run()


def run(function, *arguments):
    """The `CompletedProcess` of a call, with what it printed as text; 300 s at most."""
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, name) for name in ('stdout', 'stderr')]
        process = SERVER.Process(target=_called, args=(files, function, arguments))
        process.start()
        process.join(_TIMEOUT)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f'{function.__name__}{arguments}: {files[1].read_text()}')
        return subprocess.CompletedProcess(
            arguments, process.exitcode, *(file.read_text() for file in files))


def _called(files, function, arguments):
    for number, file in enumerate(files, 1):
        with open(file, 'wb') as opened:
            os.dup2(opened.fileno(), number)
    function(*arguments)
