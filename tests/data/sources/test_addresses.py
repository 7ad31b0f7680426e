"""Lists and images in a bucket and on a web server, as those of this machine."""

import concurrent.futures
import csv
import dataclasses
import errno
import gzip
import io
import pathlib
import pickle
import shutil
import threading

import ml_collections
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from bsce_tf import fields, storage
from bsce_tf.catalogue import pack, verify
from bsce_tf.data import bad_images, pipeline, sources
from bsce_tf.data.reading import records
from bsce_tf.data.view import View
from bsce_tf.errors import InputError, StorageError
from bsce_tf.evaluation import inputs
from bsce_tf.storage import patience
from bsce_tf.training import workdir
from bsce_tf.training.train import train
from tests.run_files import assert_same, results
from tests.smoke import smoke

CLASSES = 'bags', 'é shoes'


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    """Folder of <class>/<number>.png, 12 of each class."""
    root, rng = tmp_path_factory.mktemp('shop'), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        (root / name).mkdir()
        for i in range(12):
            picture = rng.integers(0, 60, (30, 30, 3), np.uint8)
            picture[..., k] += 180
            Image.fromarray(picture).save(root / name / f'{i}#.png')
    return root


def table(paths):
    text = io.StringIO()
    csv.writer(text).writerows([('image', 'label'), *((path, path.split('/')[-2])
                                                      for path in paths)])
    return text.getvalue().encode()


def everything(examples):
    return (bytes(records.names(examples).data), examples.labels.tolist(), examples.class_names,
            records.of(examples).read(np.arange(len(examples))))


def paths_of(shop):
    return sorted(str(path.relative_to(shop)) for path in shop.rglob('*.png'))


@pytest.mark.parametrize('ending', ['.csv', '.csv.gz'])
def test_a_list_in_a_bucket_is_as_one_here(bucket, shop, tmp_path, ending):
    data = table(paths_of(shop))
    data = gzip.compress(data) if ending == '.csv.gz' else data
    (tmp_path / f'train{ending}').write_bytes(data)
    bucket(f'lists/train{ending}', data)
    for path in paths_of(shop):
        bucket(path, (shop / path).read_bytes())
    here = sources.load('csv', root=str(shop), train=str(tmp_path / f'train{ending}'), cache='off')
    there = sources.load('csv', root='s3://shop', train=f's3://shop/lists/train{ending}',
                         cache=str(tmp_path / 'cache'))
    assert everything(there.train) == everything(here.train)
    assert records.fingerprint(there.train) == records.fingerprint(here.train)
    relative = sources.load('csv', root='s3://shop', train=f'lists/train{ending}', cache='off')
    parts = sources.load('csv', root='s3://shop', train=f's3://shop/lists/*{ending}', cache='off')
    assert everything(relative.train) == everything(parts.train) == everything(here.train)


@pytest.mark.parametrize('alone', [False, True])
def test_folders_in_a_bucket_are_as_folders_here(bucket, shop, tmp_path, alone):
    root = f's3://shop/folders{alone}'
    for path in paths_of(shop):
        split = 'Val' if path.endswith(('/1#.png', '/2#.png')) else 'train'
        split = 'train' if alone else split
        for place in (f'{split}/{path}', '__MACOSX/x.png', f'train/{CLASSES[0]}/.hidden.png',
                      'train/notes.txt'):
            data = (shop / path).read_bytes()
            bucket(f'folders{alone}/{place}', data)
            file = tmp_path / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    here = sources.load('folder', root=str(tmp_path), cache='off')
    there = sources.load('folder', root=root, cache=str(tmp_path / 'cache'))
    assert everything(there.train) == everything(here.train)
    assert there.test is None
    assert len(there.train) == (24 if alone else 20)
    if not alone:
        assert everything(there.validation) == everything(here.validation)
    found, names = inputs.load(root, data={'readers': 0})
    assert everything(found)[3] == everything(inputs.load(str(tmp_path), data={'readers': 0})[0])[3]
    assert found.root == root
    one, _ = inputs.load(f'{root}/train/{paths_of(shop)[0]}', data={'readers': 0})
    assert everything(one)[3] == [(shop / paths_of(shop)[0]).read_bytes()]
    with pytest.raises(InputError, match='s3://shop/none: no such folder'):
        sources.load('folder', root='s3://shop/none')


def test_rows_may_be_addresses(web, shop, tmp_path):
    for path in paths_of(shop):
        web.content[f'/{path}'] = (shop / path).read_bytes()
    addresses = [storage.join(web.address, path) for path in paths_of(shop)]
    (tmp_path / 'train.csv').write_bytes(table(addresses))
    found = sources.load('csv', train=str(tmp_path / 'train.csv'), cache='off').train
    assert everything(found)[3] == [(shop / path).read_bytes() for path in paths_of(shop)]
    images, names = inputs.load(str(tmp_path / 'train.csv'), data={
        'readers': 0, 'root': '', 'image_column': 'image'})
    assert records.of(images).read([3]) == records.of(found).read([3])
    assert [name.decode() for name in names.tolist()] == addresses
    images, names = inputs.load(str(tmp_path / 'train.csv'), data={
        'readers': 0, 'root': web.address, 'image_column': 'image'})
    assert everything(images)[3] == everything(found)[3]
    assert [name.decode() for name in names.tolist()] == addresses
    web.content['/lists/local.txt'] = f'{addresses[0]}\n/etc/hostname\n'.encode()
    with pytest.raises(InputError, match="local.txt: image 2 has the path '/etc/hostname'"):
        inputs.load(f'{web.address}/lists/local.txt', data={'readers': 0, 'root': ''})
    (tmp_path / 'mixed.csv').write_bytes(table([addresses[0], paths_of(shop)[0]]))
    with pytest.raises(InputError, match=r"mixed.csv: found 'http.*' and 'bags/0#.png'; expect"):
        sources.load('csv', train=str(tmp_path / 'mixed.csv'), cache='off')
    with pytest.raises(InputError, match=r"train.csv: found 'http.*', which is no path in data"):
        sources.load('csv', root=str(shop), train=str(tmp_path / 'train.csv'), cache='off')
    below = sources.load('csv', root=web.address, train=str(tmp_path / 'train.csv'), cache='off')
    assert below.train.root == web.address
    assert records.names(below.train).tolist() == [path.encode() for path in paths_of(shop)]
    assert everything(below.train)[3] == everything(found)[3]
    (tmp_path / 'other.csv').write_bytes(table(['file:///etc/passwd']))
    with pytest.raises(InputError, match=r"other.csv: image 1: found 'file:///etc/passwd'; expect"):
        sources.load('csv', train=str(tmp_path / 'other.csv'), cache='off')


def test_what_needs_a_folder_of_this_machine_refuses_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match='--workdir: found .*a folder of this machine'):
        train(smoke(), 's3://shop/run')
    with pytest.raises(InputError, match='--workdir: found .*a folder of this machine'):
        workdir.read('s3://shop/run')
    with pytest.raises(InputError, match="export.folder: found 's3://shop/a'; expected a path"):
        fields.check('export.folder', 's3://shop/a')
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_called_like_an_address_stays_a_path(shop, tmp_path):
    (tmp_path / 'scrape/http:/site').mkdir(parents=True)
    path = 'scrape/http://site/a.png'
    (tmp_path / path).write_bytes(b'1')
    (tmp_path / 'train.csv').write_text(f'image,label\n{path},a\n')
    found = sources.load('csv', train=str(tmp_path / 'train.csv'), cache='off').train
    assert everything(found)[3] == [b'1']


def test_verify_lists_what_is_missing_and_stops_where_nothing_answers(web, shop, tmp_path,
                                                                      monkeypatch):
    for path in paths_of(shop)[1:]:
        web.content[f'/{path}'] = (shop / path).read_bytes()
    (tmp_path / 'train.csv').write_bytes(table(paths_of(shop)))
    data = {'source': 'csv', 'root': web.address, 'train': str(tmp_path / 'train.csv'),
            'cache': 'off', 'max_pixels': 0, 'warned': 'keep'}
    verify.run(ml_collections.ConfigDict({'part': '', 'data': data}), tmp_path / 'verify')
    with open(tmp_path / 'verify/bad_images.csv', newline='') as file:
        bad = list(csv.reader(file))
    assert [row[0] for row in bad] == ['path', paths_of(shop)[0]]
    assert 'no such file' in bad[1][1]
    monkeypatch.setattr(patience, 'PATIENCE', 0.3)
    web.down = 503
    with pytest.raises(StorageError, match='has not answered'):
        verify.run(ml_collections.ConfigDict({'part': '', 'data': data}), tmp_path / 'other')


@pytest.mark.parametrize('back', [False, True])
def test_an_outage_beside_a_missing_picture_ends_an_evaluation_in_order(web, shop, tmp_path,
                                                                       monkeypatch, back):
    monkeypatch.setattr(patience, 'PATIENCE', 0.3)
    (tmp_path / 'train.csv').write_bytes(table(paths_of(shop)))
    examples = sources.load('csv', root=web.address, train=str(tmp_path / 'train.csv'),
                            cache='off').train
    examples = dataclasses.replace(examples, readers=1)
    for path in paths_of(shop)[1:]:
        web.content[f'/{path}'] = (shop / path).read_bytes()

    def read(address):
        web.down = 503 if web.asked[f'/{paths_of(shop)[0]}'] else None
        try:
            return original(address)
        except StorageError:
            web.down = None if back else 503
            raise

    original = storage.read
    monkeypatch.setattr(storage, 'read', read)
    bad = bad_images.BadImages('skip', 0.5)
    with pytest.raises(StorageError, match='has not answered'), bad.raising():
        list(pipeline.evaluation(examples, [View(16, (20,))], 12, bad))


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


def test_a_file_that_changes_while_it_is_read_is_told(bucket, web):
    bucket('changing', b'0123456789')
    with storage.Ranges('s3://shop/changing') as file:
        assert file.read(4) == b'0123'
        bucket('changing', b'01')
        with pytest.raises(InputError, match='changing: .*expected a file that is not being'):
            file.read(4)
    web.content['/changing'] = b'0123456789'
    with storage.Ranges(f'{web.address}/changing') as file:
        web.content['/changing'] = b'0123'
        file.seek(2)
        with pytest.raises(InputError, match='changing: 2 bytes were sent for 2 to 6 of 10'):
            file.read(4)
    with pytest.raises(InputError, match='s3://shop/none: no such file'):
        storage.Ranges('s3://shop/none')


@pytest.mark.parametrize(('source', 'places'), [
    ('tfrecord', {'root': 's3://shop'}),
    ('arrays', {'root': 'gs://shop'}), ('aliproducts', {'root': 'az://shop'})])
def test_other_sources_say_that_they_read_this_machine_only(source, places):
    with pytest.raises(InputError, match=f'{source} does not read; expected data.source csv'):
        sources.load(source, **places)


def test_a_run_outlives_a_server_that_goes_down(web, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(patience, 'PATIENCE', 0.3)
    for path in paths_of(shop):
        web.content[f'/{path}'] = (shop / path).read_bytes()
    (tmp_path / 'train.csv').write_bytes(table(paths_of(shop)))
    config = smoke(**{
        'data.source': 'csv', 'data.train': str(tmp_path / 'train.csv'), 'data.cache': 'off',
        'data.root': web.address, 'data.on_error': 'skip', 'data.validation_fraction': 0.25,
        'batch_size': 6, 'steps': 8, 'epochs': 2, 'deterministic': True, 'checkpoint.steps': 4})
    train(config, tmp_path / 'undisturbed')
    down = web.asked.total()

    def watch():
        while web.asked.total() < 1.7 * down:
            if stopped.wait(0.001):
                return
        web.down = 503

    stopped = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(StorageError, match=f'{web.address}/.*has not answered'):
        train(config, tmp_path / 'run')
    stopped.set()
    watcher.join()
    bad = pathlib.Path(tmp_path / 'run/bad_images.csv')
    assert not bad.exists()
    assert list((tmp_path / 'run/checkpoints').iterdir())
    web.down = None
    train(config, tmp_path / 'run')
    assert not bad.exists()
    assert_same(results(tmp_path / 'run'), results(tmp_path / 'undisturbed'))
