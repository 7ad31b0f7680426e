"""Several processes that share a workdir in a bucket, each as if on a machine of its own."""

import json
import os
import shutil

import boto3
import pytest
from PIL import Image

from bsce_tf import cli, division, files, recipes, storage
from bsce_tf.catalogue import hash_parts, inspect, pack, verify
from bsce_tf.data import bad_images
from bsce_tf.errors import InputError, InUseError
from bsce_tf.remote import leases, workdirs
from tests.processes import SERVER
from tests.remote.machines import in_bucket, machine, quick  # noqa: F401
from tests.run_files import rows_of
from tests.trained_runs import config, pictures, runs  # noqa: F401
from tests.workers import finish, start


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*')
            if path.is_file()}


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Folder of 14 images of three classes; two, of different parts, are broken, two are equal."""
    root = tmp_path_factory.mktemp('images')
    for i in range(14):
        folder = root / f'{i % 3}'
        folder.mkdir(exist_ok=True)
        Image.new('RGB', (9, 9), (20 * min(i, 12), 0, 0)).save(folder / f'{i}.png')
    for name in ('0/6.png', '1/4.png'):
        (root / name).write_bytes(b'no image')
    return root


def command(mode, images):
    return ['bsce', mode, '--config=default', '--config.data.source=folder',
            '--config.data.train=.', f'--config.data.root={images}', '--config.data.cache=off',
            '--config.data.shard_images=2', '--config.data.on_error=skip',
            '--config.data.max_bad_fraction=0.5']


@pytest.mark.parametrize('mode', ['verify', 'inspect', 'pack'])
def test_parts_on_machines_of_their_own_give_what_one_process_gives(
        bucket, images, tmp_path, monkeypatch, capsys, mode):
    flags, settings = command(mode, images), recipes.defaults()
    settings.update_from_flattened_dict({
        'data.source': 'folder', 'data.train': '.', 'data.root': str(images), 'data.cache': 'off',
        'data.shard_images': 2, 'data.on_error': 'skip', 'data.max_bad_fraction': 0.5,
        'part': '1/3'})
    for module, name in ((verify, '_CHUNK'), (hash_parts, '_STEP')):
        monkeypatch.setattr(module, name, 2)  # so that each part has images
    assert cli.main([*flags, f'--workdir={tmp_path / "whole"}']) == 0
    machine(monkeypatch, tmp_path / 'machine-1')
    with workdirs.held(f's3://shop/{mode}', 'part-1-of-3') as folder:
        for number in (2, 3):
            machine(monkeypatch, tmp_path / f'machine-{number}')
            assert cli.main([*flags, f'--workdir=s3://shop/{mode}',
                             f'--config.part={number}/3']) == 0
            assert 'Not done yet: 1' in capsys.readouterr().out
        {'verify': verify, 'inspect': inspect, 'pack': pack}[mode].run(settings, folder)
        place = 's3://shop/pack/packed/train' if mode == 'pack' else f's3://shop/{mode}'
        assert division.joined[f'{place}: {mode}']
    whole, found = files_in(tmp_path / 'whole'), in_bucket(mode)
    for kept in (whole, found):  # what a second call of the same takes
        for name in [name for name in kept if name.startswith('hashes.')]:
            del kept[name]
    assert found == whole
    assert len(list((tmp_path / 'machine-1').rglob('*.array_record'))) == (
        2 if mode == 'pack' else 0)  # the shards of others stay where they are


def test_parts_at_one_time_end_with_one_result(bucket, images, tmp_path):
    flags = [*command('verify', images), '--workdir=s3://shop/once']
    processes = [SERVER.Process(target=program, args=(
        {**os.environ, 'BSCE_TF_CACHE': str(tmp_path / f'machine-{number}')},
        *flags, f'--config.part={number}/2')) for number in (1, 2)]
    for process in processes:
        process.start()
    assert finish(processes) == [0, 0]
    assert 'verify.json' in in_bucket('once')
    assert not [name for name in in_bucket('once') if 'part' in name or leases.is_one(name)]


def program(environment, *flags):
    """What a process does."""
    os.environ.update(environment)
    leases._SETTLE, leases._LOOK = 0.2, 0.05
    raise SystemExit(cli.main(list(flags)))


def test_a_part_goes_on_on_another_machine(bucket, images, tmp_path, monkeypatch):
    flags = [*command('pack', images), '--workdir=s3://shop/other', '--config.part=1/2']

    def told_to_stop(path):
        if path.name.startswith('shard-00001'):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, 'watchers', [told_to_stop])
        patch.setattr(leases.Lease, 'give', lambda lease: None)
        assert cli.main(flags) == 130
    done = {os.path.basename(name) for name in in_bucket('other') if '/shard' in name}
    assert done
    machine(monkeypatch, tmp_path / 'two')
    assert cli.main(flags) == 0
    assert done < {os.path.basename(name) for name in in_bucket('other')}
    here = {path.name for path in (tmp_path / 'two').rglob('*.array_record')}
    assert here
    assert not here & done


def test_a_part_and_who_works_alone_keep_each_other_out(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, '_EVERY', 0.05)
    part = division.of('2/3').name
    with workdirs.held('s3://shop/both', part):
        machine(monkeypatch, tmp_path / 'two')
        with pytest.raises(InUseError), workdirs.held('s3://shop/both'):
            pass
        with pytest.raises(InUseError), workdirs.held('s3://shop/both', part):
            pass
        with workdirs.held('s3://shop/both', division.of('1/3').name):
            pass
    with workdirs.held('s3://shop/both'):
        machine(monkeypatch, tmp_path / 'one')
        with pytest.raises(InUseError), workdirs.held('s3://shop/both', part):
            pass
        with workdirs.held('s3://shop/both', 'worker-1'):  # of the run that the other leads
            pass
    assert in_bucket('both') == {}


def test_a_lease_of_a_dead_part_ends_and_goes(bucket):
    dead = {'process': 7, 'machine': 'other', 'name': 'n', 'number': 1}
    bucket('dead/.part-1-of-2.lease', json.dumps(dead).encode())
    with workdirs.held('s3://shop/dead'):
        assert set(in_bucket('dead')) == {leases.NAME}


def test_what_was_not_sent_is_put_aside_only_where_another_wrote_it(bucket, tmp_path, monkeypatch,
                                                                    caplog):
    with workdirs.held('s3://shop/aside', 'part-1-of-2') as folder:
        files.write_text(folder / 'both', 'before')
    for name in ('both', 'mine'):
        files.write_text(folder / name, 'unsent')
    bucket('aside/both', b'of another')
    with workdirs.held('s3://shop/aside', 'part-1-of-2') as folder:
        assert (folder / 'both').read_text() == 'of another'
    assert in_bucket('aside') == {'both': b'of another', 'mine': b'unsent'}
    aside, = folder.parents[1].glob('aside-*')
    assert files_in(aside) == {'both': b'unsent'}
    assert 'both is another there' in caplog.text


def test_files_of_others_come_and_go_when_they_are_asked_for(bucket, tmp_path, monkeypatch):
    with workdirs.held('s3://shop/refreshed', 'worker-1') as folder:
        files.write_text(folder / 'mine', '1')
        machine(monkeypatch, tmp_path / 'two')
        with workdirs.held('s3://shop/refreshed', 'worker-2') as other:
            files.write_text(other / 'x.part-1-of-2.csv', '2')
            (other / 'shard.array_record').write_text('large')
        assert not (folder / 'x.part-1-of-2.csv').exists()
        with monkeypatch.context() as patch:
            patch.setattr(storage, 'send', None)  # what is fetched is not sent again
            files.refresh(folder)
        assert (folder / 'x.part-1-of-2.csv').read_text() == '2'
        assert not (folder / 'shard.array_record').exists()
        assert files.exists(folder / 'shard.array_record')
        assert files.names(folder) == {'mine', 'x.part-1-of-2.csv', 'shard.array_record'}
        with workdirs.held('s3://shop/refreshed', 'worker-2') as other:
            files.remove(other / 'x.part-1-of-2.csv')  # as whoever joins the parts
            (other / 'mine').unlink()  # as whoever cleans a cache
        files.refresh(folder)
        assert sorted(files_in(folder)) == ['mine']
    assert set(in_bucket('refreshed')) == {'mine', 'shard.array_record'}


def test_parts_note_bad_images_beside_each_other(bucket, tmp_path):
    parts = division.of('1/2').all
    assert bad_images.list_of(tmp_path / 'bad.csv', parts[0]) == tmp_path / 'bad.csv'
    with workdirs.held('s3://shop/bad', parts[0].name) as folder:
        for part in parts:
            for name in ('same.png', f'{part.number}.png'):
                bad_images._Report(bad_images.list_of(folder / 'bad.csv', part)).add(name, 'torn')
        bad_images.gather(folder / 'bad.csv', parts)
    assert in_bucket('bad') == {'bad.csv': b'path,reason\nsame.png,torn\n1.png,torn\n2.png,torn\n'}


def test_predictions_in_parts(bucket, runs, pictures, tmp_path, monkeypatch):  # noqa: F811
    flags = ['bsce', 'predict', f'--config.predict.input={pictures / "test"}',
             '--config.batch_size=7']
    assert cli.main([*flags, f'--workdir={shutil.copytree(runs[0], tmp_path / "run")}']) == 0
    with workdirs.held('s3://shop/predicted') as folder:
        shutil.copytree(runs[0], folder, dirs_exist_ok=True)
    for number in (2, 1):
        machine(monkeypatch, tmp_path / f'machine-{number}')
        assert cli.main([*flags, '--workdir=s3://shop/predicted',
                         f'--config.part={number}/2']) == 0
    found = in_bucket('predicted')
    assert found['predictions.csv'] == (tmp_path / 'run' / 'predictions.csv').read_bytes()
    assert not [name for name in found if '.part-' in name]


def worker(folder, environment, flags):
    """What a worker of a run does, on a machine of its own."""
    number = json.loads(os.environ['TF_CONFIG'])['task']['index']
    program({**environment, 'BSCE_TF_CACHE': f'{environment["BSCE_TF_CACHE"]}-{number}'}, *flags)


def test_two_workers_on_machines_of_their_own_train_in_a_bucket(bucket, images, tmp_path):
    flags = ['bsce', 'train', '--config=smoke', '--config.data.source=folder',
             '--config.data.train=.', '--config.data.cache=off',
             f'--config.data.root={images}', '--config.data.on_error=skip', '--config.steps=2',
             '--config.data.max_bad_fraction=0.5', '--config.batch_size=6',
             '--config.epochs=1']
    stages = "--config.stages=({}, {'loss.name': 'ce'})"
    environment = {**os.environ, 'BSCE_TF_CACHE': str(tmp_path / 'machine')}
    workers = start(worker, tmp_path / 'run', 2, environment, [
        *flags, '--config.strategy=multiworker', stages, '--workdir=s3://shop/workers'])
    assert finish(workers) == [0, 0]
    assert cli.main([*flags, '--config.strategy=one', stages,
                     f'--workdir={tmp_path / "local"}']) == 0
    found = in_bucket('workers')
    (tmp_path / 'fetched').mkdir()
    (tmp_path / 'fetched' / 'metrics.csv').write_bytes(found['metrics.csv'])
    for a, b in zip(rows_of(tmp_path / 'fetched'), rows_of(tmp_path / 'local'), strict=True):
        assert float(a['loss']) == pytest.approx(float(b['loss']), rel=1e-3)
    lists = b''.join(data for name, data in found.items() if name.startswith('bad_images'))
    assert b'4.png' in lists
    assert not [name for name in found if leases.is_one(name)]


def test_only_modes_that_know_of_workers_may_run_beside_each_other(monkeypatch):
    settings = recipes.defaults()
    monkeypatch.setenv('TF_CONFIG', json.dumps({
        'cluster': {'worker': ['a:1', 'b:1']}, 'task': {'type': 'worker', 'index': 1}}))
    assert cli.program._process('train', settings) == 'worker-1'
    assert cli.program._process('predict', settings) == ''
    assert cli.program._process('index', settings) == ''
    settings.part = '2/3'
    assert cli.program._process('predict', settings) == 'part-2-of-3'


def test_a_part_that_is_none_is_told(bucket, images, capsys):
    flags = [*command('pack', images), '--workdir=s3://shop/none', '--config.part=3']
    assert cli.main(flags) == 2
    assert "config.part: found '3'; expected i/n, as '3/10'" in capsys.readouterr().err
    assert in_bucket('none') == {}


def test_files_that_cannot_be_fetched_stop_and_those_that_are_gone_do_not(bucket, monkeypatch):
    with workdirs.held('s3://shop/torn', 'worker-1') as folder:
        bucket('torn/a', b'1')

        def fetch(address, path):
            boto3.client('s3').delete_object(Bucket='shop', Key='torn/a')
            raise InputError('no such file')

        with monkeypatch.context() as patch:
            patch.setattr(storage, 'fetch', fetch)
            files.refresh(folder)
        assert not (folder / 'a').exists()
        bucket('torn/a', b'2')
        with monkeypatch.context() as patch:
            patch.setattr(storage, 'fetch', lambda *_: (_ for _ in ()).throw(InputError('refused')))
            with pytest.raises(InputError, match='refused'):
                files.refresh(folder)
