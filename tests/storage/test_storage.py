import os
import socket
import sys
import time

import pytest

from bsce_tf import storage
from bsce_tf.errors import InputError, StorageError
from bsce_tf.storage import patience, systems
from tests.servers import environment


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(patience, 'PATIENCE', 1.0)
    monkeypatch.setattr(patience, '_FIRST', 0.05)
    monkeypatch.setattr(patience, '_told', [-100.0])
    patience._silent.clear()


def test_files_of_a_bucket(bucket):
    bucket('a b#1.jpg', b'picture')
    bucket('train/bags/é.png', b'1')
    bucket('train/shoes/', b'')
    bucket('training/2.png', b'2')
    assert storage.read('s3://shop/a b#1.jpg') == b'picture'
    assert storage.exists('s3://shop/train')
    assert not storage.exists('s3://shop/none')
    assert storage.is_folder('s3://shop/train')
    assert not storage.is_folder('s3://shop/a b#1.jpg')
    assert storage.files('s3://shop/train') == storage.files('s3://shop/train/') == ['bags/é.png']
    assert {'train', 'training'} <= set(storage.folders('s3://shop'))
    assert storage.matching('s3://shop/train*/2*') == ['s3://shop/training/2.png']


def test_the_version_changes_with_the_file_and_is_never_stale(bucket):
    bucket('list.csv', b'first')
    before = storage.version('s3://shop/list.csv')
    assert storage.version('s3://shop/list.csv') == before
    bucket('list.csv', b'other')
    assert storage.version('s3://shop/list.csv') != before
    assert storage.read('s3://shop/list.csv') == b'other'
    bucket('new/1.jpg', b'1')
    assert storage.files('s3://shop/new') == ['1.jpg']
    bucket('new/2.jpg', b'1')
    assert storage.files('s3://shop/new') == ['1.jpg', '2.jpg']


def test_files_of_a_web_server(web):
    web.content['/shop/a b#1?é%41.jpg'] = b'picture'
    assert storage.read(storage.join(f'{web.address}/shop/', 'a b#1?é%41.jpg')) == b'picture'
    assert storage.read(f'{web.address}/shop/a%20b%231%3F%C3%A9%2541.jpg') == b'picture'
    assert storage.version(f'{web.address}/shop/a%20b%231%3F%C3%A9%2541.jpg') is None
    assert not storage.is_folder(f'{web.address}/shop')
    with pytest.raises(InputError, match='does not list its files; expected a table'):
        storage.files(f'{web.address}/shop')


@pytest.mark.parametrize(('status', 'message'), [
    (404, 'no such file'), (403, 'answers 403'), (401, 'answers 401'), (410, 'answers 410')])
def test_what_will_not_be_there_later_is_asked_for_once(web, status, message):
    web.down = status
    with pytest.raises(InputError, match=rf'{web.address}/a.jpg: .*{message}') as raised:
        storage.read(f'{web.address}/a.jpg')
    assert web.asked['/a.jpg'] == 1
    assert '\n' not in str(raised.value)


def test_what_fails_for_a_moment_is_asked_for_again(web, caplog):
    web.content['/a.jpg'] = b'picture'
    web.failures['/a.jpg'] = [503, 429, 'cut', 500]
    assert storage.read(f'{web.address}/a.jpg') == b'picture'
    assert web.asked['/a.jpg'] == 5
    assert len(caplog.records) == 1
    assert 'does not answer' in caplog.text  # not one for each try


@pytest.mark.parametrize('address', ['http://127.0.0.1:9/a.jpg', '{web}/a.jpg'])
def test_what_does_not_answer_stops_the_run(web, address):
    web.down = 503
    with pytest.raises(StorageError, match='has not answered for 1 s .*start the same command'):
        storage.read(address.format(web=web.address))


def test_bad_addresses_and_rights(bucket, monkeypatch):
    for address in ('ftp://a/b', 'S3://shop/a.jpg', 'file:///etc/passwd'):
        with pytest.raises(InputError, match=f"found '{address}'; .* begins with s3://, gs"):
            storage.read(address)
    for address in ('s3://My Bucket!/a.jpg', 's3://shop'):
        with pytest.raises(InputError, match=address):
            storage.read(address)
    with pytest.raises(InputError, match='s3://shop/none.jpg: no such file'):
        storage.read('s3://shop/none.jpg')
    with pytest.raises(InputError, match='s3://nowhere/none.jpg: no such file'):
        storage.read('s3://nowhere/none.jpg')
    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    with environment(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull), \
            pytest.raises(StorageError, match='s3://shop/a.jpg: the credentials are missing'):
        storage.read('s3://shop/a.jpg')


def test_a_library_that_is_missing_is_named(monkeypatch):
    systems._systems.pop('gs', None)
    monkeypatch.setitem(sys.modules, 'gcsfs', None)
    with pytest.raises(InputError, match=r"gs://…: needs .* gcsfs .*pip install 'bsce-tf\[cloud\]"):
        storage.read('gs://shop/a.jpg')


def test_keys_that_are_no_paths_are_left_out(bucket, caplog):
    for key in ('odd//a.jpg', 'odd/bags//a.jpg', 'odd/bags/a.jpg', 'odd/./b.jpg', 'odd/c/../d.jpg'):
        bucket(key, b'1')
    assert storage.files('s3://shop/odd') == ['bags/a.jpg']
    assert 'left out 4 keys that are no paths' in caplog.text


@pytest.mark.parametrize(('address', 'path'), [
    ('https://cdn/s/a b.jpg', None), ('https://cdn/s/a%20b.jpg', 'a b.jpg'),
    ('https://cdn/s/x,(1).jpg', 'x,(1).jpg'), ('https://cdn/s/a.jpg?sig=1', None),
    ('https://cdn/s/a%2Fb.jpg', None), ('https://cdn/s/caf%E9.jpg', None),
    ('https://cdn/other/a.jpg', None), ('https://cdn/s2/a.jpg', None)])
def test_a_path_below_a_web_folder_leads_back_to_its_address(address, path):
    assert storage.relative(address, 'https://cdn/s/') == path
    assert path is None or storage.join('https://cdn/s', path) == address


def test_a_place_that_is_down_is_asked_for_its_whole_patience_once(web, monkeypatch):
    monkeypatch.setattr(patience, 'PATIENCE', 0.6)
    web.content['/a.jpg'] = b'1'
    web.down = 503
    with pytest.raises(StorageError):
        storage.read(f'{web.address}/a.jpg')
    web.asked.clear()
    time.sleep(0.45)
    with pytest.raises(StorageError):
        storage.read(f'{web.address}/b.jpg')
    assert web.asked['/b.jpg'] == 1
    web.down = None
    assert storage.read(f'{web.address}/a.jpg') == b'1'
    web.down = 503
    web.asked.clear()
    with pytest.raises(StorageError):
        storage.read(f'{web.address}/a.jpg')
    assert web.asked['/a.jpg'] > 2


def test_what_a_dead_server_has_is_not_taken_for_missing(web):
    web.content['/list.csv'] = b'1'
    assert storage.exists(f'{web.address}/list.csv')
    assert not storage.exists(f'{web.address}/none.csv')
    web.down = 503
    for ask in (storage.exists, storage.version, storage.is_folder):
        with pytest.raises(StorageError):
            ask(f'{web.address}/list.csv')


def test_a_server_that_accepts_and_is_silent_does_not_hold_a_run(monkeypatch):
    monkeypatch.setattr(systems, '_ANSWER', 0.2)
    monkeypatch.setattr(systems, '_CONNECT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        with environment(AWS_ENDPOINT_URL=f'http://127.0.0.1:{port}', AWS_ACCESS_KEY_ID='a',
                         AWS_SECRET_ACCESS_KEY='b', AWS_DEFAULT_REGION='us-east-1'):
            for address in ('s3://shop/a.jpg', f'http://127.0.0.1:{port}/a.jpg'):
                begin = time.monotonic()
                with pytest.raises(StorageError):
                    storage.read(address)
                assert time.monotonic() - begin < 5


def test_keys_that_have_expired_make_no_picture_bad():
    error = PermissionError('The provided token has expired.')
    error.__cause__ = Exception()
    error.__cause__.response = {'Error': {'Code': 'ExpiredToken'}}
    assert patience._final(error)[1]
    error.__cause__.response = {'Error': {'Code': 'AccessDenied'}}
    assert not patience._final(error)[1]
    error = FileNotFoundError('a.jpg')
    error.__cause__ = Exception()
    error.__cause__.response = object()  # as Azure's errors have it
    assert patience._final(error) == ('no such file; expected one', False)


def test_a_failure_after_a_long_call_or_an_old_outage_is_tried_again(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(patience.time, 'monotonic', lambda: clock[0])
    monkeypatch.setattr(patience.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(patience, 'PATIENCE', 120.0)
    for _ in range(2):  # the second a long time after the first
        asked = []

        def slow(system, asked=asked):
            asked.append(1)
            clock[0] += 500
            if len(asked) == 1:
                raise TimeoutError('cut off')
            return b'1'

        assert patience.patiently('http://shop/a.jpg', slow) == b'1'
        patience._silent['http://shop'] = clock[0] - 400, clock[0] - 300
