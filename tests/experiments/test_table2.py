import csv
import importlib

import numpy as np
import pytest

from experiments import grid, table2


def test_rows_are_made_once_and_shown(tmp_path, monkeypatch):
    config = importlib.import_module('configs.smoke').get_config()
    monkeypatch.setattr(table2, 'LOSSES', ('ce', 'bsce'))
    trained = []
    original = grid.train.train
    monkeypatch.setattr(grid.train, 'train',
                        lambda config, folder: (trained.append(folder), original(config, folder)))
    arguments = (config, tmp_path / 'table', tmp_path / 'runs', {'plain': {}}, [3], [0.01])
    table2.run(*arguments)
    table2.run(*arguments)
    assert len(trained) == 2
    with open(tmp_path / 'table.csv') as file:
        rows = {row['arm']: row for row in csv.DictReader(file)}
    assert rows['ce']['seed'] == '3'
    assert rows['ce']['split'] == 'test'
    text = (tmp_path / 'table.md').read_text()
    for loss in ('ce', 'bsce'):
        assert f'| {float(rows[loss]["mean_top1_error"]):.4f} (1) |' in text
    assert '| not run |' in text  # a difference needs two seeds


def rows(found, condition, arm, rate, errors, validation):
    for seed, error in errors.items():
        found.rows[condition, arm, f'{rate:g}', str(seed)] = {
            'learning_rate': f'{rate:g}', 'validation_error': str(validation),
            'mean_top1_error': str(error)}


def test_the_rate_is_chosen_on_validation_and_differences_are_paired(tmp_path):
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, [0.01, 0.1], [0, 1, 2])
    rows(found, 'x', 'ce', 0.01, {0: 0.1}, 0.5)
    assert found.chosen('x', 'ce') is None
    rows(found, 'x', 'ce', 0.1, {0: 0.3, 1: 0.32, 2: 0.28}, 0.4)
    rows(found, 'x', 'bsce', 0.01, {0: 0.2, 1: 0.25, 2: 0.2}, 0.3)
    rows(found, 'x', 'bsce', 0.1, {0: 0.15}, 0.9)
    assert (found.chosen('x', 'ce'), found.chosen('x', 'bsce')) == (0.1, 0.01)
    ce, bsce = found.errors('x', 'ce'), found.errors('x', 'bsce')
    assert grid.summary(ce) == '0.3000 ± 0.0200 (3)'
    pairs = np.array([0.2 - 0.3, 0.25 - 0.32, 0.2 - 0.28])
    half = 4.302653 * pairs.std(ddof=1) / np.sqrt(3)  # t of 0.975 with 2 degrees, from a table
    mean, low, high = (float(x) for x in grid.difference(bsce, ce).replace('[', '').replace(
        ']', '').replace(',', '').split())
    assert (mean, low, high) == pytest.approx((pairs.mean(), pairs.mean() - half,
                                               pairs.mean() + half), abs=1e-4)
    assert grid.summary({}) == 'not run'
