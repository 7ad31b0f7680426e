import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket

import pytest

from bsce_tf import files, locks
from bsce_tf.errors import RunError

SPAWN = multiprocessing.get_context('spawn')


def hold(folder, told):
    """What another process does until it is killed."""
    with locks.held(folder):
        told.send(os.getpid())
        signal.pause()


@pytest.fixture
def other(tmp_path):
    """(folder, process that holds it)."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(tmp_path / 'run', there))
    process.start()
    assert here.recv() == process.pid
    yield tmp_path / 'run', process
    process.kill()
    process.join()


def test_a_second_process_is_refused_by_name_and_a_killed_one_holds_nothing(other):
    folder, process = other
    with pytest.raises(RunError) as error, locks.held(folder):
        pass
    assert str(error.value).startswith(
        f'--workdir: {folder} is in use by process {process.pid} on {socket.gethostname()} since 2')
    assert '\n' not in str(error.value)
    process.kill()
    process.join()
    assert (folder / '.lock').exists()  # but nobody holds it
    with locks.held(folder):
        assert json.loads((folder / '.lock').read_text())['pid'] == os.getpid()
    assert not folder.exists() or not list(folder.iterdir())


def test_two_files_of_a_folder_have_locks_of_their_own(tmp_path):
    with (locks.held(tmp_path, '.a'), locks.held(tmp_path, '.b', 'predict.output'),
          pytest.raises(RunError, match='predict.output: .* is in use'),
          locks.held(tmp_path, '.b', 'predict.output')):
        pass
    assert not list(tmp_path.iterdir())


def test_folders_that_stay_empty_are_gone_again(tmp_path):
    with pytest.raises(KeyError), locks.held(tmp_path / 'a' / 'b'):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with locks.held(tmp_path / 'a' / 'b'):
        files.write_text(tmp_path / 'a' / 'b' / 'c', '')
    assert [path.name for path in (tmp_path / 'a' / 'b').iterdir()] == ['c']


def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise OSError(errno.ENOLCK, 'no locks')

    monkeypatch.setattr(fcntl, 'flock', fail)
    with locks.held(tmp_path):
        assert 'has no locks' in caplog.text


def test_names_of_unfinished_files_are_unique_and_known(tmp_path):
    path = tmp_path / 'a.json'
    with files.replacing(path) as one, files.replacing(path) as two:
        assert one != two
        for temporary in (one, two):
            assert temporary.suffix == '.json'
            temporary.write_text('{}')
        nobody = 2**22 + 1  # more than the kernel counts
        others = {f'.{os.getppid()}-{"a" * 32}.b.json',  # of a process that is alive
                  '.hidden.json'}
        gone = {f'.{nobody}-{"a" * 32}.b.json', f'.{os.getpid()}-{"a" * 32}.b.json',
                f'.{nobody}.b.json'}  # the last of an earlier version
        for name in others | gone:
            (tmp_path / name).write_text('')
        files.remove_leftovers(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == {one.name, two.name, *others}
    assert {p.name for p in tmp_path.iterdir()} == {'a.json', *others}
