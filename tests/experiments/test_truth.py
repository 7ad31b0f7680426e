import numpy as np
import pytest

from bsce_tf.training import workdir
from experiments import epochs, grid, trusted, truth


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
    assert truth.table({'bars': smoke}).splitlines()[-1].startswith(
        f'| bars | 6 | 144 | {2 * smoke.batch_size / 144:.1f} | 1.0 | ')
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


def test_errors_of_every_watched_set_are_noted(tmp_path):
    (tmp_path / workdir.METRICS).write_text(
        'epoch,loss,mean_top1_error,val_mean_top1_error,val_ema_mean_top1_error,'
        'trusted2_mean_top1_error,trusted2_swa_mean_top1_error\n'
        '1,3,0.9,0.5,0.6,0.25,\n2,2,0.8,0.4,0.5,0.125,0.0625\n')
    assert epochs.errors(epochs.of(tmp_path)) == {
        'raw noisy': pytest.approx([0.5, 0.4]), 'ema noisy': pytest.approx([0.6, 0.5]),
        'raw trusted2': pytest.approx([0.25, 0.125]), 'swa trusted2': pytest.approx([0.0625])}


def test_trusted_sets_have_right_labels_of_every_class_and_choose_rate_and_epoch(
        smoke, tmp_path):
    smoke.data.noise = 0.25
    data, sets = trusted.watched(smoke)
    given, right = data.validation.labels, sets['clean'].labels
    for count in trusted.COUNTS:
        found = sets[f'trusted{count}']
        places = [np.flatnonzero((data.validation.images == image).all((1, 2, 3)))[0]
                  for image in found.images]
        np.testing.assert_array_equal(found.labels, right[places])
        np.testing.assert_array_equal(np.bincount(found.labels, minlength=6), np.minimum(
            count, np.bincount(right, minlength=6)))
    assert (given != right).any()
    low, high = ({'raw noisy': noisy, 'raw trusted1': few, 'raw test': test}
                 for noisy, few, test in (([0.3, 0.2], [0.1, 0.2], [0.31, 0.32]),
                                          ([0.1, 0.4], [0.1, 0.1], [0.33, 0.34])))
    found = grid.Grid(tmp_path / 'a.csv', tmp_path, ['ce'], [0.3, 0.1], [0], margin=float('inf'))
    for rate, errors in (('0.1', low), ('0.3', high)):
        found.rows['x', 'ce', rate, '0'] = {'validation_error': '0.5', 'split': 'test',
                                            epochs.COLUMN: epochs.json.dumps(errors)}
    assert trusted.chosen(found, 'x', 'ce', 'noisy') == {0: 0.33}
    assert trusted.chosen(found, 'x', 'ce', 'trusted1') == {0: 0.31}  # as early, of a lower rate
