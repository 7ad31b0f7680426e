"""Indexes that machines share by a bucket, on a real server of this machine."""

import os

import boto3
import pytest

from bsce_tf import fields, storage
from bsce_tf.data import sources
from bsce_tf.data.listing import index_cache, tables
from bsce_tf.errors import InputError

FIELDS = {'root': 's3://shop', 'train': 's3://shop/list.csv', 'cache': 's3://shop/cache'}


@pytest.fixture
def load(bucket, tmp_path, monkeypatch):
    """Function (machine) that loads a list of the bucket, through the cache there."""
    monkeypatch.setattr(index_cache, '_SMALLEST', 0)
    bucket('list.csv', b'image,label\na.jpg,x\nb.jpg,y\n')
    for key in there():
        boto3.client('s3').delete_object(Bucket='shop', Key=key)

    def loaded(machine):
        monkeypatch.setenv('BSCE_TF_CACHE', str(tmp_path / machine))
        train = sources.load('csv', **FIELDS).train
        return train.paths.tolist(), train.labels.tolist(), train.class_names

    return loaded


def there():
    found = boto3.client('s3').list_objects_v2(Bucket='shop', Prefix='cache/').get('Contents', [])
    return {entry['Key'] for entry in found}


def test_another_machine_takes_it_from_there(load, bucket, tmp_path, monkeypatch):
    expected = load('one')
    assert {key.rpartition('/')[2] for key in there()} >= {'checksums.json', 'names.json'}
    with monkeypatch.context() as patch:
        patch.setattr(tables, 'read', None)  # who reads the list fails
        assert load('two') == load('one') == expected
    assert any((tmp_path / 'two' / 'indexes').iterdir())
    bucket('list.csv', b'image,label\nc.jpg,z\n')
    assert load('two')[0] == [b'c.jpg']  # a list that was written anew


def test_one_that_is_not_whole_is_made_again_and_sent(load, bucket, caplog):
    expected = load('one')
    sums, = (key for key in there() if key.endswith('checksums.json'))
    client = boto3.client('s3')
    client.delete_object(Bucket='shop', Key=sums)  # as if it was killed before it sent the last
    assert load('two') == expected
    assert 'damaged' not in caplog.text
    assert sums in there()
    names = sums.replace('checksums', 'names')
    bucket(names, b'["x", "z"]')
    assert load('three') == expected
    assert 'damaged cache entry (names.json has a wrong checksum)' in caplog.text
    assert client.get_object(Bucket='shop', Key=names)['Body'].read() == b'["x", "y"]'


def test_one_that_is_only_here_is_sent(load, monkeypatch):
    expected, keys = load('one'), there()
    for key in keys:
        boto3.client('s3').delete_object(Bucket='shop', Key=key)
    monkeypatch.setattr(tables, 'read', None)
    assert load('one') == expected
    assert there() == keys


def test_a_bucket_that_takes_nothing_costs_a_line_of_the_log(load, monkeypatch, caplog):
    def refused(path, address):
        raise InputError(f'{address}: access is refused.')

    with monkeypatch.context() as patch:
        patch.setattr(storage, 'send', refused)
        expected = load('one')
        patch.setattr(tables, 'read', None)
        assert load('one') == expected  # the one here
    assert caplog.text.count('cannot be written (s3://shop/cache/') == 2
    assert 'damaged' not in caplog.text
    monkeypatch.setattr(storage, 'files', lambda address: refused('', address))
    assert load('two') == expected
    assert 'cannot be fetched (s3://shop/cache/' in caplog.text


def test_lists_of_machines_are_not_shared(load, tmp_path, monkeypatch):
    """They may have one path, size and time, and differ."""
    for machine, name in (('one', 'x'), ('two', 'y')):
        monkeypatch.setenv('BSCE_TF_CACHE', str(tmp_path / machine))
        (tmp_path / 'train.csv').write_text(f'image,label\na.jpg,{name}\n')
        os.utime(tmp_path / 'train.csv', (0, 0))
        found = sources.load('csv', train=str(tmp_path / 'train.csv'), root='r',
                             cache=FIELDS['cache']).train
        assert found.class_names == (name,)
    assert there() == set()


@pytest.mark.parametrize(('cache', 'message'), [
    ('https://host/cache', 'to which nothing can be written; expected a folder of this machine'),
    ('ftp://host/cache', 'expected a path, or an address that begins with s3://')])
def test_other_addresses_are_refused(tmp_path, cache, message):
    (tmp_path / 'train.csv').write_text('image,label\na.jpg,x\n')
    with pytest.raises(InputError, match=f"data.cache: found '{cache}'.*{message}"):
        sources.load('csv', train=str(tmp_path / 'train.csv'), root=str(tmp_path), cache=cache)


@pytest.mark.parametrize('cache', ['s3://', 'S3://shop/cache', ' s3://shop/cache', 's3:///cache'])
def test_what_looks_like_an_address_is_no_folder(cache):
    with pytest.raises(InputError, match='expected a path of this machine, or an address in a bu'):
        fields.check('data.cache', cache)
