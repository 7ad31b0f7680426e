"""Parts that Ray spreads, on a cluster of this machine that does two at a time."""

import os
import pathlib
import signal
import sys
import time
import types

import pytest
from PIL import Image

from bsce_tf import cli, division, recipes
from bsce_tf.cli import engine, failures
from bsce_tf.errors import InputError, InUseError, PreemptedError, RunError
from bsce_tf.evaluation import run_config
from bsce_tf.termination import Terminated
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
    engine.spread(cli.process, [*command, f'--workdir={tmp_path / "parts"}'], settings(parts=2))


def test_a_part_that_fails_stops_the_others_in_order(tmp_path, cluster):
    with pytest.raises(RunError, match=r'part-2-of-2 ended on \S+ with status 2 ') as error:
        engine.spread(engine_tasks.fails, [str(tmp_path)], settings(parts=2))
    assert error.value.status == 2
    end = time.monotonic() + 20  # Ray may tell that it was stopped before it has ended
    while not (tmp_path / 'stopped').exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (tmp_path / 'stopped').exists()


def test_a_part_whose_process_always_dies_is_tried_four_times(cluster):
    with pytest.raises(RunError, match='part-1-of-1: its process died again and again'):
        engine.spread(engine_tasks.dies, [], settings(parts=1))


def test_a_cluster_without_a_large_enough_machine_is_told(cluster):
    with pytest.raises(InputError, match=r'engine.cpus: found 3, and engine.gpus 0; expected what '
                                         r'one machine of the cluster has \(2 CPUs, 0 GPUs\)'):
        engine.spread(engine_tasks.fails, [], settings(cpus=3))
    with pytest.raises(InputError, match='engine.gpus 1'):
        engine.spread(engine_tasks.fails, [], settings(gpus=1))


@pytest.mark.parametrize(('changes', 'expected'), [
    ({'cpus': 0}, (4, 2)), ({'cpus': 3}, (3, 3)), ({'cpus': 1}, (1, 12)),
    ({'cpus': 1, 'gpus': 1}, (1, 3)), ({'cpus': 4, 'gpus': 2}, (4, 1)),
    ({'cpus': 0, 'gpus': 1}, (2, 3))])
def test_how_many_parts_fit_at_a_time(changes, expected):
    nodes = [{'Alive': True, 'Resources': {'CPU': 8.0, 'GPU': 3.0}},
             {'Alive': True, 'Resources': {'CPU': 4.0}}, {'Alive': True, 'Resources': {}},
             {'Alive': False, 'Resources': {'CPU': 64.0}}]
    assert engine._places(nodes, settings(**changes)) == expected


class Ray:
    """Does tasks at once, with these outcomes of a part, one a try."""

    exceptions = types.SimpleNamespace(RayTaskError=ValueError, RayError=KeyError)

    def __init__(self, outcomes):
        self.left, self.done = {name: list(found) for name, found in outcomes.items()}, []

    def options(self, name):
        return types.SimpleNamespace(remote=lambda task, arguments, folder: (
            self.done.append((name, arguments[-1])) or (len(self.done), name)))

    def wait(self, references, num_returns=1, timeout=None):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        return self.left[reference[1]].pop(0)

    def cancel(self, reference):
        self.done.append((reference[1], 'cancelled'))


def outcome(status=0, **whole):
    return engine.Outcome(status, 'a.csv: no such file.' if status else '', whole, 'vm')


def done_by(monkeypatch, outcomes, terminated=lambda: False):
    monkeypatch.setattr(engine, '_PAUSE', 0)
    monkeypatch.setattr(engine, '_PRINTED', 0)
    ray = Ray({f'part-{number}-of-2': found for number, found in outcomes.items()})
    engine._Parts(ray, ray, None, ['bsce'], 'go on', terminated).do(division.Division(1, 2).all)
    return ray.done


def test_a_part_that_is_told_to_stop_begins_again(monkeypatch):
    done = done_by(monkeypatch, {1: [outcome(75), outcome(75), outcome(train=True)],
                                 2: [outcome()]})
    assert [name for name, _ in done] == ['part-1-of-2', 'part-2-of-2', *['part-1-of-2'] * 2]
    assert done[0][1] == '--config.part=1/2'
    with pytest.raises(RunError, match='part-1-of-2 ended on vm with status 75'):
        done_by(monkeypatch, {1: [outcome(75)] * 4, 2: [outcome()]})


def test_parts_that_nobody_joins_are_no_success(monkeypatch):
    """As on machines that see new files of each other late: the last part is done once more."""
    late = outcome(train=True, validation=False)
    done = done_by(monkeypatch, {1: [outcome(train=False)],
                                 2: [late, outcome(train=True, validation=True)]})
    assert [name for name, _ in done] == ['part-1-of-2', *['part-2-of-2'] * 2]
    for outcomes, missing in (([late, late], 'validation'), ([outcome()] * 2, 'they made nothing')):
        with pytest.raises(RunError, match=rf'none found all of them done \({missing}\); expected'):
            done_by(monkeypatch, {1: [outcome()], 2: outcomes})


def test_a_signal_stops_the_parts_and_says_how_to_go_on(monkeypatch):
    with Terminated() as terminated:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(PreemptedError, match=r'engine: told to stop; go on \(SIGTERM\)'):
            done_by(monkeypatch, {1: [outcome()], 2: [outcome()]}, terminated)


def test_the_reason_of_a_failure_is_in_its_line(monkeypatch):
    with pytest.raises(RunError, match=r'part-1-of-2 ended on vm with status 2 \(a.csv: no '
                                       r'such file.\); the others were stopped; go on.') as error:
        done_by(monkeypatch, {1: [outcome(2)], 2: [outcome()]})
    assert error.value.status == 2


def test_a_part_waits_for_the_lock_of_a_machine_that_died(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, '_PAUSE', 0.01)
    found = [InUseError('in use'), InUseError('in use'), None]

    def task(arguments):
        failures.last = found.pop(0)
        return 1 if failures.last else 0

    monkeypatch.setattr(failures, 'last', None)
    before = signal.getsignal(signal.SIGINT)
    told = engine._part(task, [], str(pathlib.Path.cwd()))
    signal.signal(signal.SIGINT, before)
    assert (told.status, told.error, found) == (0, '', [])


def test_predict_takes_a_part_and_an_engine_and_those_of_the_run_do_not_count(tmp_path):
    run = recipes.defaults()
    run.engine.name, run.part, run.tta.scales = 'ray', '1/2', (400,)

    def resolved(**overrides):
        flag = types.SimpleNamespace(override_values=overrides, present=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_config, '_config', lambda _: run.copy_and_resolve_references())
            return run_config.resolve('predict', recipes.defaults(), str(tmp_path), flag)

    found = resolved()
    assert (found.engine.name, found.part, found.tta.scales) == ('none', '', ())
    found = resolved(**{'engine.name': 'ray', 'engine.parts': 3})
    assert (found.engine.name, found.engine.parts) == ('ray', 3)
    assert resolved(part='3/10').part == '3/10'


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(InputError, match=r"needs Ray .*: pip install 'bsce-tf\[ray\]'"):
        engine.spread(engine_tasks.fails, [], settings())


@pytest.mark.parametrize(('flags', 'message'), [
    (['--config.part=1/2'], "config.part: found '1/2' with engine.name = ray, which does all"),
    (['--config.engine.name=dask'], "engine.name: found 'dask'; expected one of none, ray")])
def test_fields_that_contradict_each_other_are_told(tmp_path, capsys, flags, message):
    assert cli.main(['bsce', 'pack', '--config=default', '--config.data.source=folder',
                     f'--workdir={tmp_path}', '--config.engine.name=ray', *flags]) == 2
    assert message in capsys.readouterr().err
