"""Parquet files and packs in a bucket and on a web server, on real servers of this machine."""

import concurrent.futures
import errno
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bsce_tf.catalogue import pack
from bsce_tf.data import sources
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, StorageError
from bsce_tf.storage import patience
from tests.data.sources.shop import everything, paths_of


def parquet_files(shop, folder):
    """Two files of two row groups each, as Hugging Face writes them."""
    rows = [{'image': {'bytes': (shop / path).read_bytes(), 'path': path},
             'label': path.split('/')[0]} for path in paths_of(shop)]
    for number, part in enumerate((rows[::2], rows[1::2])):
        pa.parquet.write_table(pa.Table.from_pylist(part),
                               folder / f'train-{number:05d}-of-00002.parquet', row_group_size=8)
    return sorted(folder.glob('*.parquet'))


def test_parquet_files_in_a_bucket_are_as_files_here(bucket, shop, tmp_path):
    for path in parquet_files(shop, tmp_path):
        bucket(f'hub/data/{path.name}', path.read_bytes())
        bucket(f'hub/data/train.parquet/{path.name}', b'of another set')
    here = sources.load('parquet', root=str(tmp_path), cache='off').train
    there = sources.load('parquet', root='s3://shop/hub/data', cache=str(tmp_path / 'cache')).train
    assert everything(there) == everything(here)
    assert records.contents(there) == records.contents(here)
    found = sources.load('parquet', root='s3://shop/hub', cache='off').train
    assert everything(found)[3] == everything(here)[3]
    copy = pickle.loads(pickle.dumps(records.of(there)))
    assert copy.read([5, 2]) == [everything(here)[3][5], everything(here)[3][2]]
    with pytest.raises(InputError, match="s3://shop/hub/none: no file fits 'train.*parquet'"):
        sources.load('parquet', root='s3://shop/hub/none')
    with pytest.raises(InputError, match="data.train: found 's3://.*expected a path in data.root"):
        sources.load('parquet', root='s3://shop', train='s3://shop/hub/train*.parquet')
    with pytest.raises(InputError, match="no file fits 'train.parquet'"):  # a folder
        sources.load('parquet', root='s3://shop/hub/data', train='train.parquet')


@pytest.mark.parametrize('parts', [True, False])
def test_a_parquet_file_on_a_web_server(web, shop, tmp_path, parts, caplog):
    paths = parquet_files(shop, tmp_path)
    web.content['/hub/train.parquet'] = paths[0].read_bytes()
    web.parts = parts
    here = sources.load('parquet', root=str(tmp_path), train=paths[0].name, cache='off').train
    there = sources.load('parquet', root=f'{web.address}/hub', train='train.parquet',
                         cache='off').train
    assert everything(there)[3] == everything(here)[3]
    assert ('sends no parts of files' in caplog.text) == (not parts)
    web.content['/hub/train.parquet'] = paths[0].read_bytes()[:-9]
    with pytest.raises(InputError, match=r'hub/train\.parquet: not a readable parquet file'):
        sources.load('parquet', root=f'{web.address}/hub', train='train.parquet', cache='off')
    with pytest.raises(InputError, match='data.train: empty, and .* on a web server'):
        sources.load('parquet', root=f'{web.address}/hub')


def test_a_run_on_parquet_tells_that_a_server_went_down(web, shop, tmp_path, monkeypatch):
    web.content['/train.parquet'] = parquet_files(shop, tmp_path)[0].read_bytes()
    examples = sources.load('parquet', root=web.address, train='train.parquet', cache='off').train
    monkeypatch.setattr(patience, 'PATIENCE', 0.3)
    web.down = 503
    with pytest.raises(StorageError, match='train.parquet: has not answered'):
        records.of(examples).read([0])
    web.down = None
    assert records.of(examples).read([0])[0].startswith(b'\x89PNG')


@pytest.fixture(scope='module')
def packs(shop, tmp_path_factory):
    """Folder of packs of `shop`, three images a shard."""
    folder = tmp_path_factory.mktemp('packs')
    examples = sources.load('folder', root=str(shop), cache='off').train
    pack.pack(examples, folder / 'train', shard_images=3)
    pack.pack(examples.subset(np.arange(0, 24, 5)), folder / 'validation', shard_images=3)
    return folder


def put(put_one, folder, prefix):
    for path in folder.rglob('*'):
        if path.is_file():
            put_one(f'{prefix}/{path.relative_to(folder)}', path.read_bytes())


def test_packs_in_a_bucket_are_as_packs_here(bucket, packs, tmp_path):
    put(bucket, packs, 'packs')
    here = sources.load('packed', root=str(packs), cache='off')
    there = sources.load('packed', root='s3://shop/packs', cache=str(tmp_path / 'cache'))
    assert len(list((tmp_path / 'cache').rglob('*.array_record'))) == 0
    one = pickle.loads(pickle.dumps(records.of(there.train)))
    assert one.read([23, 0]) == records.of(here.train).read([23, 0])
    assert len(list((tmp_path / 'cache').rglob('*.array_record'))) == 2  # what was read
    for split in ('train', 'validation'):
        assert everything(getattr(there, split)) == everything(getattr(here, split))
        assert records.contents(getattr(there, split)) == records.contents(getattr(here, split))
    assert there.test is None
    with pytest.raises(InputError, match="data.cache: found off with a pack in s3://shop/packs/tr"):
        sources.load('packed', root='s3://shop/packs', cache='off')
    with pytest.raises(InputError, match=r's3://shop/packs/other/pack\.json: no such file'):
        sources.load('packed', root='s3://shop/packs', train='other', cache=str(tmp_path))
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='file/.*: Not a directory; expected room for the pack'):
        sources.load('packed', root='s3://shop/packs', cache=str(tmp_path / 'file'))


def test_a_shard_on_a_web_server_is_fetched_once_and_whole(web, packs, tmp_path, monkeypatch):
    put(lambda key, data: web.content.update({f'/{key}': data}), packs, 'packs')
    web.failures['/packs/test/pack.json'] = 9 * [403]  # as of S3 for who may not list
    found = sources.load('packed', root=f'{web.address}/packs', cache=str(tmp_path / 'cache'))
    assert (len(found.train), len(found.validation), found.test) == (24, 5, None)
    name = '/packs/train/shard-00001-of-00008.array_record'
    web.failures[name] = [503, 'cut']
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: records.of(found.train).read([3])[0], range(8)))
    assert images == 8 * records.of(sources.load('packed', root=str(packs)).train).read([3])
    assert not [path for path in tmp_path.rglob('.*') if path.is_file()]
    asked = web.asked[name]
    records.of(found.train).read([3, 4, 5])
    assert web.asked[name] == asked
    other = web.content['/packs/train/shard-00003-of-00008.array_record']
    web.content['/packs/train/shard-00002-of-00008.array_record'] = other
    for message in ('shard-00002.* holds other images than', 'No space left on device; expected'):
        with pytest.raises(StorageError, match=message):  # no fault of the image
            records.of(found.train).read([6])
        assert not list(tmp_path.rglob('*shard-00002*'))
        monkeypatch.setattr(shutil, 'copyfileobj', full)
    monkeypatch.undo()
    monkeypatch.setattr(patience, 'PATIENCE', 0.3)
    web.down = 503
    with pytest.raises(StorageError, match='has not answered'):
        records.of(found.train).read([0])


def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')
