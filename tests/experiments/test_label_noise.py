import csv
import importlib

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from bsce_tf.data import prepare
from experiments import label_noise, truth


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(6), [300, 200, 100, 60, 30, 20])
    labels = np.where(rng.random(710) < 0.3, rng.integers(0, 6, 710), true)
    scores = np.round(rng.random(710) + 0.4 * (labels == true), 2)  # with ties
    listed = scores < 0.5
    dropped = listed & (rng.random(710) < 0.8)
    found = label_noise.measures(scores, listed, dropped, labels, true)
    order = np.argsort(-np.bincount(labels), kind='stable')
    groups = {'total': order, 'head': order[:2], 'medium': order[2:4], 'tail': order[4:]}
    for name, ids in groups.items():
        of = np.isin(labels, ids)
        wrong = labels[of] != true[of]
        assert found[f'average_precision_{name}'] == pytest.approx(
            average_precision_score(wrong, -scores[of]))
        assert found[f'precision_{name}'] == pytest.approx(wrong[listed[of]].mean())
        assert found[f'recall_{name}'] == pytest.approx(listed[of][wrong].mean())
        assert found[f'wrong_dropped_{name}'] == pytest.approx(dropped[of][wrong].mean())
        assert found[f'right_dropped_{name}'] == pytest.approx(dropped[of][~wrong].mean())
    assert np.isnan(label_noise.average_precision(np.zeros(3, bool), np.zeros(3)))


def test_rows_are_made_once_with_the_true_labels_of_the_same_images(tmp_path, monkeypatch):
    config = importlib.import_module('configs.smoke').get_config()
    made = []

    def clean_train(settings, folder):
        """Scores that know which labels are wrong but for the first."""
        found = truth.load(settings)
        train, true = found.data.train, found.train
        wrong = train.labels != true
        wrong[0] = ~wrong[0]
        place = folder / 'round-1' / 'audit'
        place.mkdir(parents=True)
        np.savez(place / 'scores.npz', score=1.0 - wrong, listed=wrong, dropped=wrong,
                 given=train.labels)
        made.append(settings.to_dict())
        errors = {f'{group}_error': 0.5 for group in ('head', 'medium', 'tail')}
        return [{'mean_top1_error': 0.4, **errors},
                {'mean_top1_error': 0.25, 'noise': 0.3, **errors}]

    monkeypatch.setattr(label_noise.rounds, 'clean_train', clean_train)
    arguments = (config, tmp_path / 'table', tmp_path / 'runs',
                 {'symmetric30': {'data.imbalance': 4.0, 'data.noise': 0.3}}, ['ce'], [0, 1])
    label_noise.run(*arguments)
    label_noise.run(*arguments)
    assert [(fields['seed'], fields['loss']['name']) for fields in made] == [(0, 'ce'), (1, 'ce')]
    with open(tmp_path / 'table.csv', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    for row, seed in zip(rows, (0, 1), strict=True):
        train = prepare.load('generated', imbalance=4.0, noise=0.3, seed=seed).train
        clean = prepare.load('generated', imbalance=4.0, seed=seed).train
        np.testing.assert_array_equal(train.images, clean.images)
        assert float(row['noise']) == pytest.approx((train.labels != clean.labels).mean())
        wrong = int((train.labels != clean.labels).sum())
        off = 1 if train.labels[0] == clean.labels[0] else 0
        assert float(row['recall_total']) == pytest.approx((wrong - 1 + off) / wrong)
    text = (tmp_path / 'table.md').read_text()
    row, = (line for line in text.splitlines() if line.startswith('| symmetric30 | ce |'))
    assert row.endswith('| 0.4000 ± 0.0000 (2) | 0.2500 ± 0.0000 (2) |')
    assert '| asymmetric20 | bsce | not run |' in text  # the table is of all that there could be
    assert not list((tmp_path / 'runs').rglob('*.npz'))
