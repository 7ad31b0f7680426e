"""Workdirs in a bucket, on a real server of this machine."""

import json
import os
import shutil
import socket
import threading

import boto3
import pytest

from bsce_tf import cli, files, locks, storage
from bsce_tf.errors import InputError, InUseError, RunError, StorageError
from bsce_tf.remote import leases, mirror
from bsce_tf.training import checkpoint
from tests.processes import SERVER
from tests.run_files import assert_same, results


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, '_SETTLE', 0.0)
    monkeypatch.setattr(leases, '_LOOK', 0.05)
    monkeypatch.setattr(leases, '_EXPIRED', 0.3)
    machine(monkeypatch, tmp_path / 'one')


def machine(monkeypatch, folder):
    """Stands for another machine: another cache."""
    monkeypatch.setenv('BSCE_TF_CACHE', str(folder))


def in_bucket(prefix):
    """{path: bytes} of what lies there."""
    client = boto3.client('s3')
    found = client.list_objects_v2(Bucket='shop', Prefix=f'{prefix}/').get('Contents', [])
    return {entry['Key'].removeprefix(f'{prefix}/'): client.get_object(
        Bucket='shop', Key=entry['Key'])['Body'].read() for entry in found}


def test_the_bucket_has_what_the_folder_has(bucket, tmp_path, monkeypatch):
    with mirror.held('s3://shop/kept/') as folder:
        (folder / 'a b').mkdir()
        files.write_text(folder / 'a b' / 'é#?.txt', '1')
        assert in_bucket('kept')['a b/é#?.txt'] == b'1'
        files.write_text(folder / 'old', 'x')
        with open(folder / 'grows.csv', 'a') as file:
            file.write('1\n')
        (folder / 'old').unlink()
        (folder / locks.NAME).touch()
        (folder / f'.{os.getpid()}-{"0" * 32}.half').touch()
        assert 'grows.csv' not in in_bucket('kept')
        files.write_text(tmp_path / 'elsewhere', 'y')
        files.write_text(folder / 'last', 'z')
        assert {*in_bucket('kept')} == {leases.NAME, 'a b/é#?.txt', 'grows.csv', 'last'}
        with open(folder / 'grows.csv', 'a') as file:
            file.write('2\n')
    assert in_bucket('kept') == {'a b/é#?.txt': b'1', 'grows.csv': b'1\n2\n', 'last': b'z'}
    machine(monkeypatch, tmp_path / 'two')
    with mirror.held('s3://shop/kept') as folder:
        assert (folder / 'a b' / 'é#?.txt').read_text() == '1'
        files.write_text(folder / 'last', 'of two')
        (folder / 'grows.csv').unlink()
    machine(monkeypatch, tmp_path / 'one')
    with mirror.held('s3://shop/kept') as folder:
        assert sorted(path.name for path in folder.rglob('*') if path.is_file()) == [
            f'.{os.getpid()}-{"0" * 32}.half', locks.NAME, 'last', 'é#?.txt']
        assert (folder / 'last').read_text() == 'of two'


def killed(address, text):
    """What a process leaves that was killed before it sent a file; gives its folder."""
    with mirror.held(address) as folder:
        files.write_text(folder / 'sent', 'before')
    files.write_text(folder / 'sent', text)
    return folder


def test_what_a_killed_process_had_not_sent_is_sent_or_put_aside(bucket, tmp_path, monkeypatch,
                                                                 caplog):
    killed('s3://shop/killed', 'unsent')
    with mirror.held('s3://shop/killed') as folder:
        assert in_bucket('killed')['sent'] == b'unsent'
    assert 'had not sent' not in caplog.text
    files.write_text(folder / 'sent', 'unsent again')
    machine(monkeypatch, tmp_path / 'two')
    with mirror.held('s3://shop/killed') as other:
        files.write_text(other / 'sent', 'of two')
    machine(monkeypatch, tmp_path / 'one')
    with mirror.held('s3://shop/killed') as folder:
        assert (folder / 'sent').read_text() == 'of two'
    aside, = (path for path in folder.parent.iterdir() if path.name.startswith('run-'))
    assert (aside / 'sent').read_text() == 'unsent again'
    assert f'what it had not sent is in {aside}' in caplog.text


def lease(bucket, prefix, number=1, **fields):
    told = {'process': 7, 'machine': 'other', 'name': 'n', 'number': number, **fields}
    bucket(f'{prefix}/{leases.NAME}', json.dumps(told).encode())


def test_one_process_at_a_time_works_in_a_bucket(bucket, tmp_path, monkeypatch, caplog):
    with mirror.held('s3://shop/leased') as folder:
        with pytest.raises(InUseError), mirror.held('s3://shop/leased'):
            pass
        machine(monkeypatch, tmp_path / 'two')
        lease(bucket, 'leased')
        with pytest.raises(InUseError, match='leased is used by process 7 on other'):
            files.write_text(folder / 'a', '1')
        assert 'a' not in in_bucket('leased')
        stop = threading.Event()

        def renew():
            for number in range(2, 1000):
                lease(bucket, 'leased', number)
                if stop.wait(0.02):
                    return

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            with pytest.raises(InUseError, match='process 7 on other'), mirror.held(
                    's3://shop/leased'):
                pass
        finally:
            stop.set()
            thread.join()
        with mirror.held('s3://shop/leased'):  # the other was killed
            assert 'found the lease of process 7 on other' in caplog.text
        lease(bucket, 'leased', process=os.getpid(), machine=socket.gethostname())
        monkeypatch.setattr(leases, '_EXPIRED', 100.0)
        with mirror.held('s3://shop/leased'):  # an earlier container, with the same numbers
            pass
        (folder / 'a').unlink()


def test_a_bucket_that_goes_down_ends_a_command_and_loses_nothing(bucket, monkeypatch):
    monkeypatch.setattr(storage, 'PATIENCE', 0.2)
    send = storage.send

    def down(path, address):
        raise StorageError(f'{address}: has not answered')

    def work(folder):
        monkeypatch.setattr(storage, 'send', down)
        files.write_text(folder / 'a', '1')

    with pytest.raises(StorageError, match='has not answered'), mirror.held(
            's3://shop/down') as folder:
        work(folder)
    monkeypatch.setattr(storage, 'send', send)
    with mirror.held('s3://shop/down'):
        assert in_bucket('down')['a'] == b'1'


def test_changes_are_sent_meanwhile_and_what_fails_ends_the_next_file(bucket, monkeypatch):
    monkeypatch.setattr(mirror, '_EVERY', 0.05)
    failed = threading.Event()

    def gone(path, address):
        failed.set()
        raise StorageError('gone')

    def work(folder):
        (folder / 'grows').write_text('1')
        while 'grows' not in in_bucket('meanwhile'):
            pass
        monkeypatch.setattr(storage, 'send', gone)
        (folder / 'grows').write_text('12')
        assert failed.wait(20)
        while True:
            files.write_text(folder / 'b', '1')

    with pytest.raises(StorageError, match='gone'), mirror.held('s3://shop/meanwhile') as folder:
        work(folder)


def test_a_cache_that_was_emptied_empties_no_bucket(bucket):
    with mirror.held('s3://shop/emptied') as folder:
        files.write_text(folder / 'a', '1')
    for emptied in (lambda: (folder / 'a').unlink(), lambda: shutil.rmtree(folder)):
        emptied()
        with mirror.held('s3://shop/emptied') as folder:
            assert (folder / 'a').read_text() == '1'
        assert in_bucket('emptied') == {'a': b'1'}
    with pytest.raises(RunError, match='is gone; expected the folder'), mirror.held(
            's3://shop/emptied') as folder:
        shutil.rmtree(folder)
    assert in_bucket('emptied') == {'a': b'1'}


@pytest.mark.parametrize(('workdir', 'message'), [
    ('https://shop/run', 'nothing can be written to a web server'),
    ('ftp://shop/run', 'expected a path, or an address that begins with s3://')])
def test_other_addresses_are_refused(workdir, message, capsys):
    assert cli.main(['main.py', 'train', '--config=smoke', f'--workdir={workdir}']) == 2
    assert message in capsys.readouterr().err


def test_one_of_several_processes_is_refused(bucket, capsys, monkeypatch):
    assert cli.main(['main.py', 'audit', '--config=smoke', '--workdir=s3://shop/run',
                     '--config.part=1/2']) == 2
    assert 'expected a folder that all of them see' in capsys.readouterr().err
    for address, message in (('http://a/b', 'nothing can be written'),
                             ('s3://shop/none', 's3://shop/none: no such folder')):
        with pytest.raises(InputError, match=message), mirror.copied(address):
            pass


def program(environment, *flags):
    """What a process does that is to be killed."""
    os.environ.update(environment)
    cli.main(['main.py', *flags])


def test_a_run_in_a_bucket_that_is_killed_goes_on_on_another_machine(bucket, tmp_path,
                                                                     monkeypatch):
    flags = ['train', '--config=smoke', '--config.deterministic=True', '--config.steps=8',
             '--config.epochs=2', '--config.checkpoint.steps=1']
    assert cli.main(['main.py', *flags, f'--workdir={tmp_path / "local"}']) == 0
    process = SERVER.Process(target=program, args=(
        dict(os.environ), *flags, '--workdir=s3://shop/run'))
    process.start()
    while sum(path.startswith('checkpoints/') for path in in_bucket('run')) < 2:
        assert process.is_alive()
    process.kill()
    process.join()
    assert leases.NAME in in_bucket('run')
    machine(monkeypatch, tmp_path / 'two')
    assert cli.main(['main.py', *flags, '--workdir=s3://shop/run']) == 0
    fetched = tmp_path / 'fetched'
    for path, data in in_bucket('run').items():
        (fetched / path).parent.mkdir(parents=True, exist_ok=True)
        (fetched / path).write_bytes(data)
    assert_same(results(fetched), results(tmp_path / 'local'))
    assert checkpoint.names(fetched / 'checkpoints') == checkpoint.names(
        tmp_path / 'local' / 'checkpoints')
    machine(monkeypatch, tmp_path / 'three')
    before = in_bucket('run')
    assert cli.main(['main.py', 'report', '--workdir=s3://shop/run']) == 0
    after = in_bucket('run')
    assert set(after) - set(before) == {'report.html', 'report_cache.npz'}
    assert before.items() <= after.items()
