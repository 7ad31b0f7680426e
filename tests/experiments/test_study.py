import csv
import json
import xml.etree.ElementTree

import numpy as np
import pytest
from absl.testing import flagsaver

from bsce_tf import class_weights
from bsce_tf.data import split
from bsce_tf.errors import RunError
from experiments import (
    grid,
    heads,
    intervals,
    large_k,
    losses,
    picture,
    recipes,
    rows,
    selection,
    study,
    sweep,
    table1,
    table2,
    table3,
    table4,
)

PROGRAMS = (table1, table2, recipes, sweep, large_k, losses, heads)


def made(tmp_path, **changes):
    fields = {'name': 'table', 'title': 'Losses', 'conditions': {'plain': {}},
              'arms': {'ce': {'loss.name': 'ce'}, 'bsce, as is': {'loss.name': 'bsce'}},
              'base': 'ce',
              'paper': {'ce': 0.25}, 'seeds': [3], 'rates': [0.01], 'keep': True}
    return study.Study(**{**fields, **changes})


@pytest.fixture
def places(smoke, tmp_path):
    with flagsaver.flagsaver(output=str(tmp_path / 'table'), runs=str(tmp_path / 'runs')):
        yield tmp_path


def test_rows_are_made_once_shown_and_voted_on(smoke, places, monkeypatch):
    trained = []
    original = grid.train.train
    monkeypatch.setattr(grid.train, 'train',
                        lambda config, folder: (trained.append(folder), original(config, folder)))
    for _ in range(2):
        found = study.run(made(places), smoke, after=lambda found, condition: found.vote(
            condition, 'both', ('ce', 'bsce, as is'), smoke))
    assert len(trained) == 2
    with open(places / 'table.csv') as file:
        rows = {row['arm']: row for row in csv.DictReader(file)}
    assert list(rows) == ['ce', 'bsce, as is', 'both']
    assert rows['ce']['seed'] == '3'
    assert rows['ce']['split'] == 'test'
    text = (places / 'table.md').read_text()
    for loss in ('ce', 'bsce, as is'):
        assert f'| {float(rows[loss]["mean_top1_error"]):.4f} (1) |' in text
        tta = json.loads(rows[loss]['by_scale'])['tta']
        assert json.loads(rows['both']['by_scale'])[loss] == pytest.approx(tta, abs=1e-6)
        folder = found.folder('plain', loss, 3)
        assert json.loads((folder / 'eval.json').read_text())['mean_top1_error'] == pytest.approx(
            float(rows[loss]['mean_top1_error']))
    assert '| 0.2500 |' in text
    drawing = xml.etree.ElementTree.parse(places / 'table.svg')
    assert len(drawing.findall('.//{http://www.w3.org/2000/svg}circle')) == 2
    assert f'{float(rows["ce"]["mean_top1_error"]):.4f}' in drawing.find(
        '{http://www.w3.org/2000/svg}desc').text
    assert found.errors('plain', 'both')[3] == pytest.approx(
        json.loads(rows['both']['by_scale'])['vote'], abs=1e-6)


def row(rate, error, validation=0.5, **more):
    return {'learning_rate': f'{rate:g}', 'validation_error': str(validation),
            'mean_top1_error': str(error), 'head_error': '0.1', 'medium_error': '0.2',
            'tail_error': '0.3', **more}


def fill(found, condition, arm, rate, errors, validation=0.5, **more):
    for seed, error in errors.items():
        found.rows[condition, arm, f'{rate:g}', str(seed)] = row(rate, error, validation, **more)


def test_the_rate_is_chosen_on_validation_and_differences_are_paired(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce', 'bsce'], [0.01, 0.1], [0, 1, 2])
    fill(found, 'x', 'ce', 0.01, {0: 0.1}, 0.5)
    assert found.chosen('x', 'ce') is None
    assert found.errors('x', 'ce') == {}
    fill(found, 'x', 'ce', 0.1, {0: 0.3, 1: 0.32, 2: 0.28}, 0.4)
    fill(found, 'x', 'bsce', 0.01, {0: 0.2, 1: 0.25, 2: 0.2}, 0.3)
    fill(found, 'x', 'bsce', 0.1, {0: 0.15}, 0.9)
    fill(found, 'x', 'ce', 1.0, {0: 0.1}, 0.1)  # which is none of the rates
    assert (found.chosen('x', 'ce'), found.chosen('x', 'bsce')) == (0.1, 0.01)
    ce, bsce = found.errors('x', 'ce'), found.errors('x', 'bsce')
    assert intervals.summary(ce) == '0.3000 ± 0.0200 (3)'
    pairs = np.array([0.2 - 0.3, 0.25 - 0.32, 0.2 - 0.28])
    half = 4.302653 * pairs.std(ddof=1) / np.sqrt(3)  # t of 0.975 with 2 degrees, from a table
    mean, low, high = (float(x) for x in intervals.difference(bsce, ce).replace('[', '').replace(
        ']', '').replace(',', '').split())
    assert (mean, low, high) == pytest.approx((pairs.mean(), pairs.mean() - half,
                                               pairs.mean() + half), abs=1e-4)
    assert study.relative(bsce, ce) == '-27.8 %'  # 0.65 / 0.90
    assert intervals.summary({}) == 'not run'
    assert intervals.difference({}, ce) == 'not run'
    assert intervals.difference({0: 0.2}, ce) == '-0.1000 (1)'
    near = {seed: error + 0.01 * (-1) ** seed for seed, error in ce.items()}
    assert intervals.difference(near, ce).endswith('], not told apart from 0')


def test_the_rate_is_chosen_over_all_seeds_among_those_near_the_best_of_the_first(tmp_path):
    rates = [0.03, 0.1, 0.3, 1.0]
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce'], rates, [0, 1], margin=0.2)
    for rate, errors in ((0.03, {0: 0.5}), (0.1, {0: 0.4, 1: 0.5, 2: 0.4}),
                         (0.3, {0: 0.47, 1: 0.3}), (1.0, {0: 0.49})):
        for seed, error in errors.items():
            fill(found, 'x', 'ce', rate, {seed: 0.2}, error)
    assert found.contenders('x', 'ce') == [0.1, 0.3]  # up to 0.48
    assert found.common_seeds('x', 'ce') == ['0', '1']
    assert found.chosen('x', 'ce') == 0.3  # 0.385 against 0.45
    found.margin = 0.0
    assert found.chosen('x', 'ce') == 0.1


def test_what_another_process_makes_is_left_to_it_and_runs_that_diverge_are_rows(
        smoke, tmp_path, monkeypatch):
    def diverge(config, folder):
        folder.mkdir(parents=True)
        raise RunError('loss: found nan at step 3')

    monkeypatch.setattr(grid.train, 'train', diverge)
    found = grid.Grid(tmp_path / 'a.csv', tmp_path / 'runs', ['ce', 'bsce'], [0.1], [0])
    arms = {'ce': {}, 'bsce': {}}
    with rows.claimed(tmp_path / 'runs' / 'locks' / 'x_ce_0.1_0') as mine:
        assert mine
        assert not found.run('x', arms, smoke)
        assert list(found.rows) == [('x', 'bsce', '0.1', '0')]
    assert found.run('x', arms, smoke)
    assert found.errors('x', 'ce') == {0: 1.0}
    monkeypatch.setattr(grid.train, 'train', lambda *_: (_ for _ in ()).throw(
        RunError('disk full')))
    with pytest.raises(RunError, match='disk full'):
        found.run('y', arms, smoke)


def test_of_one_rate_no_other_arm_need_have_tried_it(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce', 'bsce'], [0.1], [0, 1])
    fill(found, 'x', 'ce', 0.1, {0: 0.3})
    assert (found.chosen('x', 'ce'), found.chosen('x', 'bsce')) == (0.1, None)
    assert found.errors('x', 'ce') == {0: 0.3}


def test_two_processes_fill_one_table(smoke, tmp_path):
    result = dict.fromkeys(grid.tables.COLUMNS, 0.5)
    first, second = (grid.Grid(tmp_path / 'a.csv', tmp_path / 'runs', ['bsce'], [0.1], [0])
                     for _ in range(2))
    for found, arm in ((first, 'ce'), (second, 'bsce'), (first, 'sce')):
        found._add(('x', arm, '0.1', '0'), 'test', 0.1, result, {}, 1, 2.0)
    assert set(rows.read(tmp_path / 'a.csv', grid.KEY)) == {
        ('x', arm, '0.1', '0') for arm in ('ce', 'bsce', 'sce')}


def test_a_run_of_another_table_is_taken_from_there(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(grid.train, 'train', lambda *_: pytest.fail('trained'))
    result = dict.fromkeys(grid.tables.COLUMNS, 0.25)
    first = grid.Grid(tmp_path / 'first.csv', tmp_path / 'runs', ['bsce'], [0.1], [0])
    first._add(('x', 'bsce', '0.1', '0'), 'test', 0.1, result, {}, 1, 2.0)
    second = grid.Grid(tmp_path / 'second.csv', tmp_path / 'runs', ['A = -4'], [0.1], [0],
                       same={('x', 'A = -4'): ('first', 'bsce')})
    second.run('x', {'A = -4': {}}, smoke)
    assert second.errors('x', 'A = -4') == {0: 0.25}
    assert rows.read(tmp_path / 'second.csv', grid.KEY)['x', 'A = -4', '0.1', '0']['commit'] == (
        first.rows['x', 'bsce', '0.1', '0']['commit'])


@pytest.mark.parametrize('program', [recipes, sweep])
def test_runs_taken_from_another_table_have_the_same_config(program):
    others = {other.STUDY.name: other.STUDY for other in PROGRAMS}
    for (condition, arm), (table, other) in program.STUDY.same.items():
        configs = []
        for changes in (program.STUDY.conditions[condition], program.STUDY.arms[arm]), (
                others[table].conditions[condition], others[table].arms[other]):
            config = program.fashion_mnist.get_config()
            for change in changes:
                config.update_from_flattened_dict(change)
            configs.append(config.to_dict())
        assert configs[0] == configs[1], arm


def test_balanced_classes_have_no_weights():
    labels = np.repeat(np.arange(10), 6000)  # the condition `clean`, before its validation part
    train, _ = split.stratified_split(labels, 10, 0.1)
    assert set(class_weights.balanced(np.bincount(labels[train]))) == {1.0}


def test_an_unknown_condition_is_named(places, smoke):
    with flagsaver.flagsaver(conditions=['plane']), pytest.raises(
            ValueError, match='found plane; expected some of plain'):
        study.run(made(places), smoke)


@pytest.mark.parametrize('program', PROGRAMS)
def test_arms_change_fields_that_exist(program, smoke):
    from bsce_tf import config_check
    shared = losses if program is heads else program.__dict__.get('fashion_mnist')
    get_config = getattr(program, 'get_config', shared and shared.get_config)
    for condition in program.STUDY.conditions.values():
        for arm in program.STUDY.arms.values():
            config = get_config()
            config.update_from_flattened_dict({**condition, **arm})
            config_check.check(config)
    assert program.STUDY.base in program.STUDY.arms


def test_table3_shows_means_over_seeds_of_the_chosen_rate(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce'], [0.01, 0.1], [0, 1])
    for rate, validation, errors in ((0.01, 0.9, (0.9,)), (0.1, 0.2, (0.3, 0.5))):
        for seed, error in enumerate(errors):
            scales = {'28': error, '30': error - 0.1, '32': error, 'tta': error - 0.2}
            fill(found, 'plain', 'ce', rate, {seed: error}, validation,
                 by_scale=json.dumps(scales))
    text = table3.table([(made(tmp_path), found)])
    assert '| table: plain | ce | 0.4000 | 0.3000 | 0.4000 | 0.2000 | -0.1000 | 2 |' in text
    assert '| table: plain | bsce, as is | not run |' in text


def test_table4_shows_models_and_votes(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, table4.ARMS, [0.1], [0, 1])
    for seed in (0, 1):
        parts = {**dict.fromkeys(table4.ARMS, 0.5), 'vote': 0.2 + 0.1 * seed, 'mean': 0.1}
        found.rows['symmetric30', table4.NAME, grid.NO_RATE, str(seed)] = row(
            0, 0.2, by_scale=json.dumps(parts))
    text = table4.table(found)
    assert '| top-1 vote of the four | 0.2500 ± 0.0707 (2) |' in text
    assert f'| {table4.ARMS[0]} | 0.5000 ± 0.0000 (2) |' in text


def test_the_sweep_is_drawn(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, sweep.ARMS, [0.03], [0, 1])
    assert sweep.picture(found, 'symmetric30') is None
    for i, arm in enumerate(sweep.ARMS):
        fill(found, 'symmetric30', arm, 0.03, {0: 0.2 + 0.01 * i, 1: 0.21 + 0.01 * i})
    drawing = xml.etree.ElementTree.fromstring(sweep.picture(found, 'symmetric30'))
    space = '{http://www.w3.org/2000/svg}'
    values = sum(len(values) for _, values, _ in sweep.SWEEPS.values())
    assert len(drawing.findall(f'.//{space}circle')) == 2 * values
    assert any('-4 gives 0.2150' in (text.text or '') for text in drawing.iter(f'{space}desc'))


def test_errors_are_drawn_against_classes_with_intervals(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce', 'bsce'], [0.1], [0, 1])
    points, colours = [('few', 10), ('many', 1000)], {'ce': '#000000', 'bsce': '#ffffff'}
    assert picture.growth(found, points, colours, 'error') == ''
    fill(found, 'few', 'ce', 0.1, {0: 0.10, 1: 0.12})
    fill(found, 'many', 'ce', 0.1, {0: 0.5})
    drawing = xml.etree.ElementTree.fromstring(picture.growth(found, points, colours, 'error'))
    space = '{http://www.w3.org/2000/svg}'
    first, second = drawing.findall(f'.//{space}circle')
    assert float(first.get('cx')) < float(second.get('cx'))
    assert float(first.get('cy')) > float(second.get('cy'))
    bars = [path.get('d') for path in drawing.iter(f'{space}path') if 'V' in path.get('d')]
    low, high = bars[0].partition(' ')[2].split('V')
    # 12.706 · 0.01 (t of one degree, from a table), cut at the axis's ends
    assert float(low) > float(first.get('cy')) > float(high)
    low, high = bars[1].partition(' ')[2].split('V')
    assert low == high  # of one run no interval is known
    assert 'ce, 1000 classes: 0.5000 (runs: 1)' in drawing.find(f'.//{space}desc').text


def test_what_choosing_an_epoch_costs(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce'], [0.1], [0, 1])
    plan = made(tmp_path, arms={'ce': {}}, rates=[0.1])
    for seed, last in ((0, 0.3), (1, 0.26)):
        by_epoch = {f'{kind} {of}': values for kind in ('raw', 'ema', 'swa') for of, values in (
            ('noisy', [0.4, 0.5]), ('clean', [0.2, 0.1]), ('test', [0.2, last]))}
        fill(found, 'plain', 'ce', 0.1, {seed: 0.2}, by_epoch=json.dumps(by_epoch), split='test')
    text = selection.table(found, plan)
    assert '| plain | best epoch on noisy validation | 2 | 0.2000 |  |' in text
    assert '| all | last epoch | 2 | 0.2800 | +0.0800 [-0.1741, +0.3341], not told apart' in text
    assert '| all | oracle: best epoch on clean validation | 2 | 0.2800 |' in text
