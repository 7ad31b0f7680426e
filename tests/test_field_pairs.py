"""Fields beside each other: refused, told to have no effect, or derived, before anything runs."""

import logging

import pytest

from bsce_tf import cli, config_check, field_pairs, fields, recipes
from bsce_tf.errors import InputError
from bsce_tf.training import stages
from bsce_tf.training.train import train


def config_of(**changes):
    config = recipes.load('smoke')
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(('changes', 'message'), [
    ({'averaging.select': 'ema'}, "averaging.select: found 'ema' with averaging.ema = 0"),
    ({'averaging.select': 'swa', 'averaging.ema': 0.9}, "found 'swa' with averaging.swa"),
    ({'averaging.select': 'ema', 'stages': ({}, {'averaging.ema': 0.9})}, "select: found 'ema'"),
    ({'averaging.swa_epochs': 2}, 'averaging.swa_epochs: found 2; expected at most epochs, which'),
    ({'augment.mixup': 0.2, 'batch_size': 7}, 'batch_size: found 7 with augment.mixup, which'),
    ({'stages': ({}, {'augment.cutmix': 1.0, 'batch_size': 9})}, 'batch_size: found 9 with a'),
    ({'loss.name': 'elr', 'augment.mixup': 0.2}, "loss.name: found 'elr' with augment.mixup"),
    ({'optimizer.clip_norm': 1.0, 'optimizer.clip_value': 1.0}, 'optimizer.clip_norm: found 1.0'),
    ({'tta.scales': (20,)}, 'tta.scales: found 20; expected at least image.size, which is 24'),
    ({'steps': 3, 'schedule.warmup_steps': 4}, 'warmup_steps: found 4; expected at most the 3'),
    ({'steps': 3, 'optimizer.accumulate': 4}, 'optimizer.accumulate: found 4; expected at most'),
    ({'image.size': 40}, 'image.scales: found 24; expected at least image.size, which is 40')])
def test_pairs_that_cannot_be(changes, message):
    with pytest.raises(InputError) as error:
        config_check.check(config_of(**changes))
    assert message in str(error.value)


@pytest.mark.parametrize('changes', [
    {'averaging.select': 'best'}, {'averaging.select': 'ema', 'averaging.ema': 0.9},
    {'stages': ({'averaging.ema': 0.9}, {'averaging.select': 'ema'})},
    {'epochs': 2, 'averaging.swa_epochs': 2}, {'augment.mixup': 0.2, 'batch_size': 8}])
def test_pairs_that_can_be(changes):
    config_check.check(config_of(**changes))


# Each set alone, beside a field that makes it count, and how that is told.
PAIRS = [
    ('data.noise_kind', 'asymmetric', {'data.noise': 0.1}, 'data.noise'),
    ('data.max_bad_fraction', 0.5, {'data.on_error': 'skip'}, 'data.on_error = skip'),
    ('image.area', (0.2, 1.0), {'image.crop': 'random_resized'}, 'image.crop = random_resized'),
    ('augment.num_layers', 3, {'augment.policy': 'randaugment'}, 'randaugment'),
    ('augment.autoaugment_policy', 'v0', {'augment.policy': 'autoaugment'}, 'autoaugment'),
    ('model.head_scale', 5.0, {'model.head': 'cosine'}, 'model.head = cosine'),
    ('model.head_tau', 0.5, {'model.head': 'tau'}, 'model.head = tau'),
    ('loss.alpha', 0.5, {'loss.name': 'sce'}, 'loss.name sce, bsce, bsce_many'),
    ('loss.weight_cap', 2.0, {'loss.name': 'bce'}, 'with weights'),
    ('loss.tau', 2.0, {'loss.balance': 'logit_adjustment'}, 'logit_adjustment'),
    ('loss.gce_q', 0.5, {'loss.name': 'gce'}, 'loss.name gce'),
    ('optimizer.momentum', 0.8, {'optimizer.name': 'sgd'}, 'optimizer.name = sgd'),
    ('optimizer.nesterov', True, {'optimizer.name': 'sgd'}, 'sgd and momentum'),
    ('schedule.patience', 5, {'schedule.name': 'plateau'}, 'schedule.name = plateau'),
    ('schedule.final', 0.1, {'schedule.name': 'cosine'}, 'schedule.name = cosine'),
    ('schedule.milestones', (1,), {'schedule.name': 'step', 'epochs': 3}, 'schedule.name = step'),
    ('averaging.batches', 5, {'averaging.swa_epochs': 1}, 'averaging.swa_epochs'),
    ('replicas', 2, {'strategy': 'mirrored'}, 'strategy other than one')]
BARE = {'loss.name': 'ce', 'optimizer.name': 'adamw', 'schedule.name': 'constant',
        'strategy': 'one'}


@pytest.mark.parametrize(('name', 'value', 'beside', 'words'), PAIRS, ids=lambda x: str(x)[:20])
def test_a_field_without_effect_is_told(caplog, name, value, beside, words):
    config_check.check(config_of(**BARE))
    assert not caplog.text
    config_check.check(config_of(**BARE, **{name: value}))
    assert f'config.{name}: found {value!r}, which has no effect; it needs' in caplog.text
    assert words in caplog.text
    caplog.clear()
    config_check.check(config_of(**{**BARE, **beside, name: value}))
    assert name not in caplog.text
    config_check.check(config_of(**BARE, **{name: value}), 'evaluate')
    assert name not in caplog.text  # of a run that is done
    if name.startswith(('loss', 'optimizer', 'schedule')):
        config_check.check(config_of(**BARE, stages=({}, {name: value})))
        assert f'config.stages[1]: found {name} = {value!r}' in caplog.text
        caplog.clear()
        config_check.check(config_of(**BARE, **{name: value}, stages=({}, beside)))
        assert f'config.{name}' not in caplog.text


# The same of fields that one mode has to itself.
OF_MODES = [
    ('pack', 'pack.quality', 50, {'pack.side': 24}, 'needs pack.side'),
    ('pack', 'data.max_bad_fraction', 0.5, {'data.on_error': 'skip'}, 'data.on_error = skip'),
    ('clean_train', 'audit.folds', 3, {'audit.model': ''}, 'no audit.model'),
    ('review', 'review.program', 'fiftyone', {'review.read': 'a.json'}, 'review.read'),
    ('index', 'index.kind', 'ivf', {'index.remove': ''}, 'no index.remove'),
    ('evaluate', 'evaluate.depth', 7, {'predict.by': 'both'}, 'predict.by neighbours, both'),
    ('predict', 'predict.top_k', 3, {'predict.format': 'csv'}, 'predict.format = csv'),
    ('predict', 'neighbours.mix', 0.3, {'predict.by': 'both'}, 'predict.by = both'),
    ('export', 'export.measured', 9, {'export.weights': 'int8'}, 'export.weights float16, int8'),
    ('export', 'export.index_type', 'int8', {'export.by': 'neighbours'}, 'export.by neighbours'),
    ('export', 'export.freeze', True, {'export.format': 'onnx,saved_model'}, 'saved_model in'),
    ('demo_page', 'adjust.tau', 1.0, {'predict.model': ''}, 'no predict.model')]
BARE_MODES = {'audit.model': 'run', 'index.remove': 'gone.csv', 'predict.format': 'aliproducts',
              'export.format': 'onnx', 'predict.model': 'export/1'}


@pytest.mark.parametrize(('mode', 'name', 'value', 'beside', 'words'), OF_MODES)
def test_a_field_without_effect_in_its_mode_is_told_there(caplog, mode, name, value, beside, words):
    config_check.check(config_of(**BARE, **BARE_MODES, **{name: value}), mode)
    assert f'config.{name}: found {value!r}, which has no effect; it needs' in caplog.text
    assert words in caplog.text
    caplog.clear()
    config_check.check(config_of(**BARE, **{**BARE_MODES, **beside, name: value}), mode)
    if name != 'data.max_bad_fraction':
        config_check.check(config_of(**BARE, **BARE_MODES, **{name: value}))  # not of training
    assert name not in caplog.text


def test_rounds_are_of_clean_train(caplog):
    config_check.check(config_of(**BARE, **{'audit.rounds': 2}), 'clean_train')
    assert not caplog.text
    config_check.check(config_of(**BARE, **{'audit.rounds': 2}), 'audit')
    assert 'config.audit.rounds: found 2, which has no effect; it needs --mode=cl' in caplog.text


def test_every_field_of_the_tables_of_effects_is_one_that_its_mode_has():
    for mode, rows in {'train': field_pairs.EFFECTS, **field_pairs.OF_MODES}.items():
        names = [name for row in rows for name in row[0].split()]
        assert len(names) == len(set(names))
        assert set(names) <= fields.TABLE.keys()
        assert all(cli.MODES[mode].uses(name) or words.startswith('--mode=')
                   for fields_of_row, _, words in rows for name in fields_of_row.split())


def test_the_configs_that_come_with_the_program_set_nothing_in_vain(caplog):
    for name in ('smoke', 'default', 'fashion_mnist', 'fashion_mnist:best',
                 'fashion_mnist:two_stage', 'aliproducts', 'aliproducts:high_resolution'):
        config_check.check(recipes.load(name))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_is_hardly_meant_is_told(caplog):
    config_check.check(config_of(**{'image.size': 96, 'image.scales': (384, 412),
                                    'image.eval_scale': 100}))
    assert 'image.scales: found 384 with image.size 96, so that the network sees 6%' in caplog.text
    assert 'image.eval_scale' not in caplog.text
    config_check.check(config_of(**{'schedule.name': 'step'}))
    assert 'found step without schedule.milestones' in caplog.text
    config_check.check(config_of(epochs=3, **{'schedule.name': 'step',
                                              'schedule.milestones': (2, 3)}))
    assert 'schedule.milestones: found 3, and the stage has 3 epochs' in caplog.text
    ldam = {'loss.name': 'ldam', 'model.head': 'cosine', 'model.head_learn_scale': False}
    config_check.check(config_of(**ldam, **{'model.head_scale': 16.0}))
    assert 'expected model.head=cosine, model.head_scale=30 (loss.ldam_scale)' in caplog.text
    caplog.clear()
    config_check.check(config_of(**ldam, **{'model.head_scale': 30.0}))
    assert 'ldam' not in caplog.text


def test_scales_that_are_not_set_follow_the_size():
    config = recipes.defaults()
    image = stages.resolve(config)[0].image
    assert (image.size, image.scales, image.eval_scale) == (331, (384, 412, 424, 436, 464), 436)
    config.image.size = 96
    config.stages = ({}, {'image.size': 662}, {'image.scales': (100,)}, {'image.eval_scale': 99})
    found = [part.image for part in stages.resolve(config)]
    assert found[0].scales == (111, 119, 123, 126, 135)  # 96 / 331 of the paper's
    assert found[0].eval_scale == 126
    assert found[1].scales == (768, 824, 848, 872, 928)
    assert (found[2].scales, found[2].eval_scale) == ((100,), 126)
    assert (found[3].scales, found[3].eval_scale) == (found[0].scales, 99)
    for size in range(8, 700):
        config.image.size = size
        image = stages.resolve(config)[0].image
        assert min(image.scales) >= size
        assert 1.15 < image.eval_scale / size < 1.4


@pytest.mark.parametrize(('stage', 'message'), [
    ({'model.freeze': ('nothing',)}, "model.freeze: found 'nothing', which no layer is called"),
    ({'schedule.warmup_steps': 5}, r'warmup_steps: found 5; expected at most the 4 steps of'),
    ({'augment.policy': 'autoaugment', 'augment.autoaugment_policy': 'none_such'}, 'none_such')])
def test_mistakes_of_a_later_stage_come_before_the_first_step(tmp_path, stage, message):
    if 'augment.policy' in stage:
        pytest.importorskip('official', reason="needs pip install 'bsce-tf[augment]'")
    config = config_of(epochs=2, stages=({}, stage))
    config_check.check(config)
    with pytest.raises(InputError, match=message):
        train(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
