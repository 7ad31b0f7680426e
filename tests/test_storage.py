import os
import sys

import pytest

from bsce_tf import storage
from bsce_tf.errors import InputError, StorageError
from tests.servers import environment


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(storage, 'PATIENCE', 1.0)
    monkeypatch.setattr(storage, '_FIRST', 0.05)
    monkeypatch.setattr(storage, '_told', [-100.0])


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
    with pytest.raises(StorageError, match='does not answer since 1 s .*start the same command'):
        storage.read(address.format(web=web.address))


def test_bad_addresses_and_rights(bucket, monkeypatch):
    with pytest.raises(InputError, match=r"address: found 'ftp://a/b'; .* begins with s3://, gs"):
        storage.read('ftp://a/b')
    with pytest.raises(InputError, match='s3://shop/none.jpg: no such file'):
        storage.read('s3://shop/none.jpg')
    with pytest.raises(InputError, match='s3://nowhere/none.jpg: no such file'):
        storage.read('s3://nowhere/none.jpg')
    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    with environment(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull), \
            pytest.raises(InputError, match='s3://shop/a.jpg: no credentials'):
        storage.read('s3://shop/a.jpg')


def test_a_library_that_is_missing_is_named(monkeypatch):
    storage._system.cache_clear()
    monkeypatch.setitem(sys.modules, 'gcsfs', None)
    with pytest.raises(InputError, match=r"gs://…: needs .* gcsfs .*pip install 'bsce-tf\[cloud\]"):
        storage.read('gs://shop/a.jpg')
