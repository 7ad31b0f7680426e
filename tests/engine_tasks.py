"""What the tests of the engine let Ray do, in processes of its own."""

import os
import pathlib
import signal


def dies_once(arguments):
    """The command; the process that does part 2 is killed at its first try, after one shard."""
    from bsce_tf import cli, files

    workdir = next(word for word in arguments if word.startswith('--workdir=')).partition('=')[2]
    killed = pathlib.Path(workdir).with_name('killed')
    if '--config.part=2/3' in arguments and not killed.exists():
        def kill(path):
            if '.array_record' in pathlib.Path(path).name:
                killed.write_text(pathlib.Path(path).name)
                os.kill(os.getpid(), signal.SIGKILL)

        files.watchers.append(kill)
    return cli.process(arguments)


def dies(arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(arguments):
    """As a command whose second part fails while the first goes on for a minute."""
    import time

    begun, stopped = (pathlib.Path(arguments[0], name) for name in ('begun', 'stopped'))
    if '--config.part=2/2' in arguments:
        while not begun.exists():
            time.sleep(0.1)
        return 2
    try:
        begun.touch()
        for _ in range(600):
            time.sleep(0.1)
        return 0
    except KeyboardInterrupt:
        stopped.touch()
        return 130
