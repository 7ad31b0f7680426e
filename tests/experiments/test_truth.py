import numpy as np
import pytest

from experiments import epochs, grid, truth


def test_figures_are_counted_by_hand():
    right = np.repeat(np.arange(6), [12, 8, 4, 4, 2, 2])
    given = right.copy()
    given[:3] = [4, 4, 5]  # of class 0
    given[12] = 0  # of class 1
    found = truth.figures(given, right, 7)  # the seventh class has no image
    assert (found['classes'], found['images']) == (7, 32)
    assert found['true_imbalance'] == 6
    assert found['given_imbalance'] == 10 / 3  # 10, 7, 4, 4, 4, 3
    assert found['wrong'] == 4 / 32
    assert found['wrong_tail'] == 3 / 7  # classes 4 and 5: seven images, three of them wrong


@pytest.mark.parametrize('kind', ['symmetric', 'proportional'])
def test_right_labels_of_training_and_validation(smoke, kind):
    smoke.data.noise, smoke.data.noise_kind = 0.25, kind
    found = truth.load(smoke)
    smoke.data.noise = 0.0
    clean = truth.load(smoke).data
    for part in ('train', 'validation'):
        np.testing.assert_array_equal(getattr(found, part), getattr(clean, part).labels)
        given = getattr(found.data, part).labels
        assert (given != getattr(found, part)).mean() == 0.25
    smoke.data.noise = 0.25
    assert truth.table({'bars': smoke}).splitlines()[-1].startswith('| bars | 6 | 144 | 1.0 | ')
    smoke.data.source, smoke.data.root = 'arrays', '/nowhere'
    assert '| bars | not made |' in truth.table({'bars': smoke})


def row(noisy, clean, test, **more):
    errors = {'raw noisy': noisy, 'raw clean': clean, 'raw test': test}
    return {'validation_error': str(min(noisy)), epochs.COLUMN: epochs.json.dumps(errors), **more}


def test_an_epoch_is_chosen_as_asked_and_the_oracle_chooses_the_rate_too(tmp_path):
    low = row([0.5, 0.4, 0.45], [0.2, 0.3, 0.1], [0.31, 0.32, 0.33])
    assert epochs.chosen_error(low, 'raw', 'noisy') == 0.32
    assert epochs.chosen_error(low, 'raw', 'clean') == 0.33
    assert epochs.chosen_error(low, 'raw', 'last') == 0.33
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce'], [0.1, 0.3], [0, 1], margin=0.5)
    assert epochs.oracle(found, 'x', 'ce') == {}
    for seed in '01':
        found.rows['x', 'ce', '0.1', seed] = low
        found.rows['x', 'ce', '0.3', seed] = row([0.5], [0.05], [0.4])
    assert found.chosen('x', 'ce') == 0.1
    assert epochs.oracle(found, 'x', 'ce') == {0: 0.4, 1: 0.4}
