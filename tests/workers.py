"""Workers of one run on this machine, as processes of their own."""

import json
import os
import socket
import sys
import time

from bsce_tf.errors import RunError
from tests.processes import SERVER


def start(function, folder, workers, *arguments):
    """Processes that call `function(folder, *arguments)`; one that is no cluster for 1 worker.

    The message of a RunError goes to a file beside the folder, named for the number of the worker.
    """
    if workers == 1:
        tasks = [None]
    else:
        with socket.socket() as one, socket.socket() as two:
            for free in (one, two):
                free.bind(('localhost', 0))
            addresses = [f'localhost:{free.getsockname()[1]}' for free in (one, two)]
        tasks = [{'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': i}}
                 for i in range(workers)]
    processes = [SERVER.Process(target=_called, args=(task, function, folder, *arguments))
                 for task in tasks]
    for process in processes:
        process.start()
    return processes


def _called(task, function, folder, *arguments):
    if task:
        os.environ['TF_CONFIG'] = json.dumps(task)
    try:
        function(folder, *arguments)
    except RunError as error:
        folder.with_suffix(f'.{task["task"]["index"]}').write_text(str(error))
        sys.exit(error.status)


def finish(processes):
    """Exit statuses, within five minutes: a busy machine is slow to start processes."""
    end = time.monotonic() + 300
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, 'a worker did not end'
    return [process.exitcode for process in processes]
