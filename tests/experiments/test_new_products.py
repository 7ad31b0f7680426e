"""The table of the experiment on new products, from rows that are made up."""

from experiments import neighbours

COLUMNS = [f'{group}_{name}' for group in ('all', 'seen', 'unseen')
           for name in (*neighbours._RETRIEVAL, *(f'error_{by}' for by in neighbours._BY))]


def rows():
    """Three seeds; the error of `both` is 0.01 below the classifier's, but for the seed."""
    found = {}
    for seed in range(3):
        for arm in neighbours.ARMS:
            row = dict.fromkeys(COLUMNS, '0.5')
            row['seen_error_classifier'] = str(0.3 + 0.01 * seed)
            row['seen_error_both'] = str(0.29 + 0.01 * seed)
            row['open_auroc'] = '' if arm == neighbours.RETRAINED else str(0.8)
            found['drawings', arm, str(seed)] = row
    return found


def test_means_differences_and_what_was_not_run():
    lines = neighbours.table(rows()).splitlines()
    assert '| drawings | half unseen | seen | 0.5000 ± 0.0000 (3)' in lines[9]
    assert '0.3100 ± 0.0100 (3)' in lines[9]
    (difference,) = [line for line in lines if line.startswith(
        '| drawings | half unseen | seen | both − classifier |')]
    assert '-0.0100 [-0.0100, -0.0100]' in difference
    assert all('not run' in line for line in lines if line.startswith('| fashion_mnist'))
    assert any('0.8000 ± 0.0000 (3) | not run' in line for line in lines)


def test_cells_of_groups_without_images_are_empty():
    values = {'retrieval': dict.fromkeys(neighbours._RETRIEVAL, 0.5),
              **{by: {'mean_top1_error': 0.25} for by in neighbours._BY}}
    found = neighbours._cells({'all': values, 'unseen': None})
    assert found['all_error_both'] == 0.25
    assert found['unseen_recall_at_1'] == ''
    assert neighbours._open_set(None)['open_auroc'] == ''
