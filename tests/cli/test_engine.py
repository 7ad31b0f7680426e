"""Parts that Ray spreads, on a cluster of this machine that does two at a time."""

import os
import sys
import time

import pytest
from PIL import Image

from bsce_tf import cli, recipes
from bsce_tf.cli import engine
from bsce_tf.errors import InputError, RunError
from tests import engine_tasks

SHARDS = 12


@pytest.fixture(scope='module')
def cluster():
    import ray

    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, logging_level='ERROR',
             object_store_memory=80_000_000)
    yield ray
    ray.shutdown()


def settings(**changes):
    config = recipes.defaults()
    config.engine.update({'name': 'ray', 'cpus': 1, **changes})
    return config.engine


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*')
            if path.is_file()}


def test_parts_of_which_one_is_killed_are_byte_for_byte_one_process(tmp_path, cluster):
    for i in range(SHARDS):
        folder = tmp_path / 'images' / f'{i % 3}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (9, 9), (20 * i, 0, 0)).save(folder / f'{i}.png')
    command = ['bsce', 'pack', '--config=default', '--config.data.source=folder',
               '--config.data.train=.', f'--config.data.root={tmp_path / "images"}',
               '--config.data.cache=off', '--config.data.shard_images=1']
    assert cli.main([*command, f'--workdir={tmp_path / "whole"}']) == 0
    engine.spread(engine_tasks.dies_once, [*command, f'--workdir={tmp_path / "parts"}'],
                  settings(parts=3))
    assert (tmp_path / 'killed').read_text().startswith('shard-')
    whole = files_in(tmp_path / 'whole')
    assert sum('.array_record' in name for name in whole) == SHARDS
    assert files_in(tmp_path / 'parts') == whole


def test_a_part_that_fails_stops_the_others_in_order(tmp_path, cluster):
    with pytest.raises(RunError, match=r'part-2-of-2 ended on \S+ with status 2, for the') as error:
        engine.spread(engine_tasks.fails, [str(tmp_path)], settings(parts=2))
    assert error.value.status == 2
    end = time.monotonic() + 20  # Ray may tell that it was stopped before it has ended
    while not (tmp_path / 'stopped').exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (tmp_path / 'stopped').exists()


def test_a_part_whose_process_always_dies_is_tried_four_times(cluster):
    with pytest.raises(RunError, match='part-1-of-1: its process died 4 times'):
        engine.spread(engine_tasks.dies, [], settings(parts=1))


def test_a_cluster_without_a_large_enough_machine_is_told(cluster):
    with pytest.raises(InputError, match='engine.cpus: found 3, and engine.gpus 0; expected what '
                                         'one machine of the cluster has, which are 2 CPUs and 0'):
        engine.spread(engine_tasks.fails, [], settings(cpus=3))
    with pytest.raises(InputError, match='engine.gpus 1'):
        engine.spread(engine_tasks.fails, [], settings(gpus=1))


@pytest.mark.parametrize(('changes', 'expected'), [
    ({'cpus': 0}, (4, 3)), ({'cpus': 3}, (3, 3)), ({'cpus': 1}, (1, 12)),
    ({'cpus': 1, 'gpus': 1}, (1, 3)), ({'cpus': 4, 'gpus': 2}, (4, 1))])
def test_how_many_parts_fit_at_a_time(changes, expected):
    nodes = [{'Alive': True, 'Resources': {'CPU': 8.0, 'GPU': 3.0}},
             {'Alive': True, 'Resources': {'CPU': 4.0}}, {'Alive': True, 'Resources': {}},
             {'Alive': False, 'Resources': {'CPU': 64.0}}]
    assert engine._places(nodes, settings(**changes)) == expected


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(InputError, match=r"needs Ray .*: pip install 'bsce-tf\[ray\]'"):
        engine.spread(engine_tasks.fails, [], settings())


@pytest.mark.parametrize(('flags', 'message'), [
    (['--config.part=1/2'], "config.part: found '1/2' with engine.name = ray, which does all"),
    (['--workdir=s3://shop/run'], 'expected a folder that all of them see'),
    (['--config.engine.name=dask'], "engine.name: found 'dask'; expected one of none, ray")])
def test_fields_that_contradict_each_other_are_told(tmp_path, capsys, flags, message):
    assert cli.main(['bsce', 'pack', '--config=default', '--config.data.source=folder',
                     f'--workdir={tmp_path}', '--config.engine.name=ray', *flags]) == 2
    assert message in capsys.readouterr().err
