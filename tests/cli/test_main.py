"""The program as a user runs it, in its own process; and the checks of configs, in this one."""

import gc
import importlib
import logging
import pathlib
import subprocess
import sys
import tempfile
import types

import pytest
import tensorflow as tf

from bsce_tf import cli, config_check, fields, imports
from bsce_tf.cli import program
from bsce_tf.data import sources
from bsce_tf.errors import InputError
from bsce_tf.training import stages
from tests import processes

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ('default', 'fashion_mnist', 'smoke')


@pytest.mark.parametrize(('flags', 'message'), [
    (['--config.loss.alhpa=1'], 'field (did you mean loss.alpha?); expected one of loss.name'),
    (['--config.epochs=abc'], "config.epochs: found 'abc'; expected a whole number ≥ 1"),
    (['--config.data.imbalance=0.5'], 'config.data.imbalance: found 0.5'),
    (['--mode=nope'], '--mode=nope: value should be one of'),
    (['--config=configs/nothing.py'], 'configs/nothing.py'),
    (['--config=smoke:fast'], "smoke.py: found 'fast' after the colon; expected nothing there"),
    (['stray'], "found 'stray'")])
def test_bad_flags_end_in_one_line(tmp_path, flags, message):
    result = processes.run(processes.program, f'--config={ROOT}/configs/smoke.py',
                           f'--workdir={tmp_path / "run"}', *flags)
    assert result.returncode == 2
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'run').exists()


def test_help_explains_every_mode_and_ends_well():
    result = subprocess.run([sys.executable, 'main.py', '--help'], cwd=ROOT, capture_output=True,
                            text=True, timeout=300)
    assert (result.returncode, result.stderr) == (0, '')
    lines = result.stdout.splitlines()
    for name, mode in cli.MODES.items():
        assert [line for line in lines if line.split()[:1] == [name] and mode.help in line], name


@pytest.mark.parametrize(('mode', 'has', 'lacks'), [
    ('train', "loss.alpha='by_name'", 'export.name'),
    ('export', "export.name='bsce_tf'", 'loss.alpha'),
    ('inspect', "data.source='fashion_mnist'", 'model.backbone')])
def test_help_of_a_mode_lists_the_fields_that_it_uses(capsys, mode, has, lacks):
    assert cli.main(['bsce', 'help', mode]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f'{mode}: {cli.MODES[mode].help}\n')
    assert f'\n  {has}\n' in printed
    assert lacks not in printed


def test_fields_that_tell_their_modes_are_used_by_these_alone():
    """The help of a field begins with the modes that it is for, where it is not for all."""
    found = {}
    for name, field in fields.TABLE.items():
        words, colon, _ = field.help.partition(': ')
        if colon and set(words.split(', ')) <= cli.MODES.keys():
            found[name] = set(words.split(', '))
    assert {'data.shard_images', 'data.warned', 'audit.rounds', 'neighbours.reject'} <= set(found)
    for name, modes in found.items():
        assert {mode for mode, row in cli.MODES.items() if row.uses(name)} == modes, name


def test_modes_name_fields_and_groups_that_there_are():
    groups = {f'{name.rpartition(".")[0]}.' for name in fields.TABLE}
    for mode in cli.MODES.values():
        assert set(mode.fields) <= {*fields.TABLE, *groups} - {'.'}
        for name in mode.without:
            assert mode._replace(without=()).uses(name)
    assert all(any(mode.uses(name) for mode in cli.MODES.values()) for name in fields.TABLE)


@pytest.mark.parametrize(('mode', 'names'), [
    ('convert', {'model.backbone', 'model.weights'}),
    ('inspect', {'inspect.near_copies', 'part', 'engine.name', 'engine.parts', 'engine.cpus',
                 'engine.gpus', 'data.source', 'data.max_pixels',
                 *(f'data.{name}' for name in sources.FIELDS)}),
    ('models', set())])
def test_a_mode_uses_these_fields_alone(mode, names):
    assert {name for name in fields.TABLE if cli.MODES[mode].uses(name)} == names


def test_a_mode_may_stand_first(capsys):
    assert cli.main(['bsce', 'models', '--config=smoke']) == 0
    assert 'pnasnet5large' in capsys.readouterr().out
    assert cli.main(['bsce', 'help', 'trian']) == 2
    assert "found 'trian' (did you mean train?)" in capsys.readouterr().err


def test_the_whole_help_has_every_field(capsys):
    assert cli.main(['main.py', '--helpfull']) == 0
    printed = capsys.readouterr().out
    assert "\n  loss.alpha='by_name'\n      sce, bsce, bsce_many: α" in printed
    assert printed.count('\n  ') >= len(fields.TABLE)
    assert all(f'\n  {name}={field.default!r}\n' in printed for name, field in fields.TABLE.items())


@pytest.mark.parametrize('workdir', ['elsewhere', 'a_run', 'elsewhere,a_run'])
def test_an_error_that_nobody_foresaw_is_one_line_and_a_file(
        tmp_path, monkeypatch, capsys, workdir):
    def fail(config, folder):
        raise KeyError('first line\nsecond line')

    monkeypatch.setitem(sys.modules, 'failing', types.SimpleNamespace(run=fail))
    monkeypatch.setitem(cli.MODES, 'models', cli.MODES['models']._replace(steps=('failing:run',)))
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ('a_run', 'elsewhere'):
        pathlib.Path(name).mkdir()
    pathlib.Path('a_run', 'config.json').touch()
    assert cli.main(['main.py', '--config=smoke', '--mode=models', f'--workdir={workdir}']) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: KeyError: 'first line")
    place = pathlib.Path(line.rpartition(' ')[2])
    assert place.parent.name.startswith('a_run' if 'a_run' in workdir else 'bsce-tf-')
    assert 'raise KeyError(' in place.read_text()
    assert not list(pathlib.Path('elsewhere').iterdir())


@pytest.mark.parametrize(('name', 'arguments'), [
    *((name, ()) for name in CONFIGS), ('fashion_mnist', ('two_stage',)),
    *(('aliproducts', (words,)) for words in (
        '', 'pnasnet5large,bsce', 'bsce_many,two_stage', 'ce,two_stage,senet154',
        'resnest269,high_resolution'))])
def test_every_config_passes_its_check(name, arguments):
    config_check.check(importlib.import_module(f'configs.{name}').get_config(*arguments))


@pytest.mark.parametrize(('name', 'words', 'message'), [
    ('aliproducts', 'bsce,pnasnet5larg', r"'pnasnet5larg' .* mean pnasnet5large\?.*two_stage"),
    ('fashion_mnist', 'bset', r"found 'bset' after the colon \(did you mean best\?\)"),
    ('default', 'x', 'expected nothing there')])
def test_a_word_that_a_config_does_not_know(name, words, message):
    with pytest.raises(InputError, match=message):
        importlib.import_module(f'configs.{name}').get_config(words)


def test_words_after_the_colon_choose_the_recipe():
    aliproducts = importlib.import_module('configs.aliproducts')
    config = aliproducts.get_config('high_resolution,resnest269,bce')
    assert (config.model.backbone, config.loss.name) == ('resnest269', 'bce')
    _, balanced, large = stages.resolve(config)
    assert (balanced.sampler.cap, balanced.sampler.gamma, balanced.loss.name) == (250, 1.0, 'ce')
    assert (balanced.image.size, large.image.size) == (331, 448)


@pytest.mark.parametrize(('field', 'value', 'expected'), [
    ('loss.alpha', -1.0, '≥ 0'), ('loss.beta', float('nan'), '≥ 0'),
    ('loss.log_zero', 0.0, 'below 0'), ('data.noise', 1.5, '≥ 0 and ≤ 1'),
    ('data.imbalance', 0.9, '≥ 1'), ('loss.name', 'no_such', 'ce, bce, sce, bsce'),
    ('model.backbone', 'resnet9000', 'small_resnet'), ('data.source', 'ftp', 'fashion_mnist'),
    ('batch_size', 0, '≥ 1'), ('batch_size', 3.5, 'whole number'),
    ('batch_size', True, 'whole number'), ('image.scales', 30, 'whole numbers'),
    ('image.scales', (10,), 'at least image.size'), ('image.eval_scale', 9, 'at least image.size'),
    ('strategy', 'tpu', 'mirrored'), ('optimizer.learning_rate', 0.0, 'above 0'),
    ('schedule.factor', 1.0, 'below 1'),
    ('schedule.min_rate', 0.02, 'at most optimizer.learning_rate, which is 0.01'),
    ('sampler.gamma', -0.5, '≥ 0')])
def test_values_out_of_range_are_named(field, value, expected):
    config = importlib.import_module('configs.smoke').get_config()
    with config.unlocked(), config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as error:
        config_check.check(config)
    assert f'config.{field}: found' in str(error.value)
    assert expected in str(error.value)


@pytest.mark.parametrize(('backbone', 'smallest'), [
    ('efficientnet_lite0', 96), ('resnest50', 96), ('resnet50', 32)])
def test_images_too_small_for_a_backbone_are_told_before_anything_is_built(backbone, smallest):
    config = importlib.import_module('configs.smoke').get_config()
    config.model.backbone = backbone
    with pytest.raises(InputError, match=f'size: found 24; .* least {smallest}, .*{backbone}'):
        config_check.check(config)
    config.image.size, config.image.scales, config.image.eval_scale = smallest, (200,), 200
    config_check.check(config)


def test_a_stage_that_may_end_early_averages_no_last_epochs():
    config = importlib.import_module('configs.smoke').get_config()
    config.schedule.stop_patience = 3
    config_check.check(config)
    config.stages = ({}, {'averaging.swa_epochs': 2})
    with pytest.raises(InputError, match='stop_patience: found 3 with averaging.swa_epochs = 2'):
        config_check.check(config)


def test_a_field_that_no_default_has_is_named():
    config = importlib.import_module('configs.smoke').get_config()
    with config.unlocked():
        config.loss.gama = 2.0
    with pytest.raises(InputError, match=r'loss.gama: unknown field \(did you mean sampler.gamma'):
        config_check.check(config)
    del config.loss.gama, config.loss.alpha
    with pytest.raises(InputError, match='config.loss.alpha: missing'):
        config_check.check(config)


@pytest.mark.parametrize('first', [True, False])
def test_the_first_import_of_tensorflow_is_not_searched_for_garbage(monkeypatch, first):
    frozen = []
    monkeypatch.setattr(gc, 'freeze', lambda: frozen.append(gc.isenabled()))
    if first:
        monkeypatch.delitem(sys.modules, 'tensorflow')
    with imports.without_garbage_collection():
        assert gc.isenabled() != first
    assert gc.isenabled()
    assert frozen == [False] * first


@pytest.mark.parametrize('quiet', [True, False])
def test_advice_on_functions_traced_again_is_left_out(quiet):
    heard, logger = [], tf.get_logger()
    functions = {  # TensorFlow gives its advice twice for the same code
        True: lambda x: x + 1,
        False: lambda x: x + 2}
    handler = logging.Handler()
    handler.emit = heard.append
    logger.addHandler(handler)
    try:
        if quiet:
            logger.addFilter(program._is_news)
        for _ in range(9):  # as the folds of an audit make functions of the same code
            tf.function(functions[quiet])(1)
    finally:
        logger.removeHandler(handler)
        logger.removeFilter(program._is_news)
    assert bool(heard) != quiet
