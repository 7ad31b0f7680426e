"""Lists and images in a bucket and on a web server, as those of this machine."""

import csv
import dataclasses
import gzip
import pathlib
import threading

import ml_collections
import pytest

from bsce_tf import fields, storage
from bsce_tf.catalogue import verify
from bsce_tf.data import bad_images, pipeline, sources
from bsce_tf.data.reading import records
from bsce_tf.data.view import View
from bsce_tf.errors import InputError, StorageError
from bsce_tf.evaluation import inputs
from bsce_tf.storage import patience
from bsce_tf.training import workdir
from bsce_tf.training.train import train
from tests.data.sources.shop import CLASSES, everything, paths_of, table
from tests.run_files import assert_same, results
from tests.smoke import smoke


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
