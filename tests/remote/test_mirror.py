"""Workdirs in a bucket, on a real server of this machine."""

import json
import os
import shutil
import threading

import boto3
import pytest

from bsce_tf import cli, files, locks, storage
from bsce_tf.errors import InputError, InUseError, RunError, StorageError
from bsce_tf.remote import leases, mirror, workdirs
from bsce_tf.storage import patience, reads
from bsce_tf.training import checkpoint
from tests.processes import SERVER
from tests.remote.machines import in_bucket, machine, quick  # noqa: F401
from tests.run_files import assert_same, results


def test_the_bucket_has_what_the_folder_has(bucket, tmp_path, monkeypatch):
    with workdirs.held('s3://shop/kept/') as folder:
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
        (folder / 'checkpoints').mkdir()
        files.write_text(folder / 'checkpoints' / 'one', 'z')
        assert {*in_bucket('kept')} == {leases.NAME, 'a b/é#?.txt', 'grows.csv', 'checkpoints/one'}
        with open(folder / 'grows.csv', 'a') as file:
            file.write('2\n')
    assert in_bucket('kept') == {'a b/é#?.txt': b'1', 'grows.csv': b'1\n2\n',
                                 'checkpoints/one': b'z'}
    machine(monkeypatch, tmp_path / 'two')
    with workdirs.held('s3://shop/kept') as folder:
        assert (folder / 'a b' / 'é#?.txt').read_text() == '1'
        files.write_text(folder / 'checkpoints' / 'two', 'of two')
        (folder / 'checkpoints' / 'one').unlink()
    machine(monkeypatch, tmp_path / 'one')
    with workdirs.held('s3://shop/kept') as folder:
        assert sorted(path.name for path in folder.rglob('*') if path.is_file()) == [
            f'.{os.getpid()}-{"0" * 32}.half', locks.NAME, 'grows.csv', 'two', 'é#?.txt']


def killed(address, text):
    """What a process leaves that was killed before it sent a file; gives its folder."""
    with workdirs.held(address) as folder:
        files.write_text(folder / 'sent', 'before')
    files.write_text(folder / 'sent', text)
    return folder


def test_what_a_killed_process_had_not_sent_is_sent_or_put_aside(bucket, tmp_path, monkeypatch,
                                                                 caplog):
    killed('s3://shop/killed', 'unsent')
    with workdirs.held('s3://shop/killed') as folder:
        assert in_bucket('killed')['sent'] == b'unsent'
    assert 'what was here' not in caplog.text
    files.write_text(folder / 'sent', 'unsent again')
    machine(monkeypatch, tmp_path / 'two')
    with workdirs.held('s3://shop/killed') as other:
        files.write_text(other / 'sent', 'of two')
    machine(monkeypatch, tmp_path / 'one')
    with workdirs.held('s3://shop/killed') as folder:
        assert (folder / 'sent').read_text() == 'of two'
    aside, = folder.parents[1].glob('aside-*')
    assert (aside / 'sent').read_text() == 'unsent again'
    assert f'what was here is in {aside}' in caplog.text


def lease(bucket, prefix, number=1, **fields):
    told = {'process': 7, 'machine': 'other', 'name': 'n', 'number': number, **fields}
    bucket(f'{prefix}/{leases.NAME}', json.dumps(told).encode())


def test_one_process_at_a_time_works_in_a_bucket(bucket, tmp_path, monkeypatch, caplog):
    lost = pytest.raises(InUseError, match='no longer leased to this process')
    with lost, workdirs.held('s3://shop/leased') as folder:
        with pytest.raises(InUseError), workdirs.held('s3://shop/leased'):
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
            with pytest.raises(InUseError, match='process 7 on other'), workdirs.held(
                    's3://shop/leased'):
                pass
        finally:
            stop.set()
            thread.join()
        with workdirs.held('s3://shop/leased'):  # the other was killed
            assert 'found the lease of process 7 on other' in caplog.text
        (folder / 'a').unlink()


def test_a_lease_of_a_killed_process_of_this_machine_needs_no_waiting(bucket, monkeypatch):
    monkeypatch.setattr(leases, '_EXPIRED', 100.0)
    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, 'give', lambda lease: None)
        with workdirs.held('s3://shop/again') as folder:
            files.write_text(folder / 'a', '1')
    assert leases.NAME in in_bucket('again')
    (folder / 'a').write_text('of the killed process')
    bucket('again/a', b'sent, but not noted')
    with workdirs.held('s3://shop/again') as folder:
        assert (folder / 'a').read_text() == 'of the killed process'
    assert in_bucket('again') == {'a': b'of the killed process'}


def test_a_start_that_is_killed_while_it_fetches_sends_nothing_old(bucket, tmp_path, monkeypatch):
    with workdirs.held('s3://shop/fetched') as folder:
        for name in 'ab':
            files.write_text(folder / name, 'old')
    machine(monkeypatch, tmp_path / 'two')
    with workdirs.held('s3://shop/fetched') as other:
        for name in 'ab':
            files.write_text(other / name, 'new')
    machine(monkeypatch, tmp_path / 'one')
    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, 'give', lambda lease: None)
        fetch = storage.fetch

        def once(address, path):
            fetch(address, path)
            patch.setattr(storage, 'fetch', killed_now)

        def killed_now(*_):
            raise ValueError('killed')

        patch.setattr(storage, 'fetch', once)
        with pytest.raises(ValueError, match='killed'), workdirs.held('s3://shop/fetched'):
            pass
    with workdirs.held('s3://shop/fetched') as folder:
        assert [(folder / name).read_text() for name in 'ab'] == ['new', 'new']
    assert in_bucket('fetched') == {'a': b'new', 'b': b'new'}


def test_a_lease_is_renewed_while_a_command_works(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, '_EVERY', 0.05)
    with workdirs.held('s3://shop/renewed'):
        machine(monkeypatch, tmp_path / 'two')
        with pytest.raises(InUseError, match=f'process {os.getpid()} on'), workdirs.held(
                's3://shop/renewed'):
            pass


def test_files_that_vanish_here_stay_in_the_bucket(bucket, tmp_path, monkeypatch, caplog):
    with workdirs.held('s3://shop/vanished') as folder:
        for name in ('config.json', 'a'):
            files.write_text(folder / name, '1')
    with workdirs.held('s3://shop/vanished') as folder:
        (folder / 'a').unlink()
    assert in_bucket('vanished') == {'config.json': b'1', 'a': b'1'}
    assert 'a: is gone; it stays in s3://shop/vanished' in caplog.text


def test_checkpoints_that_are_gone_there_are_removed_only_for_newer_ones(bucket, caplog):
    with workdirs.held('s3://shop/pruned') as folder:
        (folder / 'checkpoints').mkdir()
        for name in '123':
            files.write_text(folder / 'checkpoints' / name, name)
    client = boto3.client('s3')
    client.delete_object(Bucket='shop', Key='pruned/checkpoints/1')
    with workdirs.held('s3://shop/pruned') as folder:
        assert sorted(path.name for path in (folder / 'checkpoints').iterdir()) == ['2', '3']
    assert 'is gone there' not in caplog.text
    for name in '23':
        client.delete_object(Bucket='shop', Key=f'pruned/checkpoints/{name}')
    with workdirs.held('s3://shop/pruned') as folder:
        assert not list((folder / 'checkpoints').iterdir())
    aside, = folder.parents[1].glob('aside-*')
    assert sorted(path.name for path in (aside / 'checkpoints').iterdir()) == ['2', '3']


def test_a_bucket_that_was_emptied_takes_nothing_here(bucket, caplog):
    with workdirs.held('s3://shop/lost') as folder:
        files.write_text(folder / 'a', '1')
    boto3.client('s3').delete_object(Bucket='shop', Key='lost/a')
    with workdirs.held('s3://shop/lost') as folder:
        assert not (folder / 'a').exists()
    assert 'a is gone there; what was here is in' in caplog.text
    aside, = folder.parents[1].glob('aside-*')
    assert (aside / 'a').read_text() == '1'


def test_keys_that_are_no_paths_write_nowhere(bucket, tmp_path, caplog):
    for key in ('keys/../../../out', 'keys//abs', 'keys/good', 'keys/inner/.lease'):
        bucket(key, b'x')
    with workdirs.held('s3://shop/keys') as folder:
        found = [path for path in tmp_path.rglob('*') if path.is_file() and (
            path.read_bytes()) == b'x']
    assert found == [folder / 'good']
    assert 'left out 2 keys that are no paths' in caplog.text


def test_a_file_that_is_written_anew_while_it_is_fetched_is_told(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(reads, '_PIECE', 2)
    bucket('anew', b'aaaa')
    read = storage.Ranges.read

    def written(source, size):
        bucket('anew', b'bbbb')
        return read(source, size)

    monkeypatch.setattr(storage.Ranges, 'read', written)
    with pytest.raises(InputError, match='anew: was written while it was read'):
        storage.fetch('s3://shop/anew', tmp_path / 'anew')
    assert not (tmp_path / 'anew').exists()


def test_a_bucket_that_goes_down_ends_a_command_and_loses_nothing(bucket, monkeypatch):
    monkeypatch.setattr(patience, 'PATIENCE', 0.2)
    send = storage.send

    def down(path, address):
        raise StorageError(f'{address}: has not answered')

    def work(folder, error):
        monkeypatch.setattr(storage, 'send', down)
        if error is ValueError:
            (folder / 'a').write_text('1')
            raise ValueError('the real reason')
        files.write_text(folder / 'a', '1')

    for error, message in ((StorageError, 'has not answered'), (ValueError, 'the real reason')):
        with pytest.raises(error, match=message), workdirs.held('s3://shop/down') as folder:
            work(folder, error)
        monkeypatch.setattr(storage, 'send', send)
    with workdirs.held('s3://shop/down'):
        assert in_bucket('down')['a'] == b'1'


def test_changes_are_sent_meanwhile_and_an_outage_that_ends_is_none(bucket, monkeypatch, caplog):
    monkeypatch.setattr(mirror, '_EVERY', 0.05)
    send, failed = storage.send, threading.Event()

    def gone(path, address):
        failed.set()
        raise StorageError('gone')

    with workdirs.held('s3://shop/meanwhile') as folder:
        (folder / 'grows').write_text('1')
        while 'grows' not in in_bucket('meanwhile'):
            pass
        monkeypatch.setattr(storage, 'send', gone)
        (folder / 'grows').write_text('12')
        assert failed.wait(20)
        monkeypatch.setattr(storage, 'send', send)
        files.write_text(folder / 'b', '1')
    assert in_bucket('meanwhile') == {'grows': b'12', 'b': b'1'}
    assert 'gone' in caplog.text


def test_a_lease_that_is_lost_ends_a_command_with_its_next_file(bucket, monkeypatch):
    monkeypatch.setattr(mirror, '_EVERY', 0.05)

    def work(folder):
        lease(bucket, 'taken')
        (folder / 'grows').write_text('1')
        while True:
            files.write_text(folder / 'b', '1')

    with pytest.raises(InUseError, match='process 7 on other'), workdirs.held(
            's3://shop/taken') as folder:
        work(folder)
    assert {*in_bucket('taken')} == {leases.NAME}


def test_a_cache_that_was_emptied_empties_no_bucket(bucket):
    with workdirs.held('s3://shop/emptied') as folder:
        files.write_text(folder / 'a', '1')
    for emptied in (os.unlink, shutil.rmtree):
        emptied(folder / 'a' if emptied is os.unlink else folder)
        with workdirs.held('s3://shop/emptied') as folder:
            assert (folder / 'a').read_text() == '1'
        assert in_bucket('emptied') == {'a': b'1'}
    with pytest.raises(RunError, match='is gone, or its config.json is'), workdirs.held(
            's3://shop/emptied') as folder:
        shutil.rmtree(folder)
    assert in_bucket('emptied') == {'a': b'1'}


@pytest.mark.parametrize(('workdir', 'message'), [
    ('https://shop/run', 'expected a folder of this machine or one in a bucket'),
    ('s3://shop/', 'one in a bucket, such as s3://shop/run'),
    ('s3://shop/a/../b', 'one in a bucket, such as s3://shop/run'),
    ('ftp://shop/run', 'expected a path, or an address that begins with s3://'),
    ('S3://shop/run', 'expected a path, or an address that begins with s3://'),
    ('s3:/shop/run', "expected a path, or an address as text: 's3://shop/run'")])
def test_other_addresses_are_refused(workdir, message, capsys):
    assert cli.main(['main.py', 'train', '--config=smoke', f'--workdir={workdir}']) == 2
    assert message in capsys.readouterr().err


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
