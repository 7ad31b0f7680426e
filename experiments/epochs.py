"""Errors after every epoch of a run, and what other ways to choose an epoch would have given.

They are noted as the run goes and looked at afterwards: no choice of a run, of its best epoch or of
a learning rate sees them.
"""

import csv
import json
import re

import numpy as np

from bsce_tf.training import workdir
from experiments import truth

COLUMN = 'by_epoch'
DIVERGED = {COLUMN: json.dumps({f'raw {name}': [1.0] for name in ('noisy', 'clean', 'test')})}
_ERROR = re.compile(r'(\w+?)(_ema|_swa)?_mean_top1_error')  # a column of metrics.csv


def watched(config):
    """(`Splits` of a run, {name: `Examples`} to watch): validation with right labels, and test."""
    found = truth.load(config)
    validation = found.data.validation
    places = np.arange(len(validation))
    return found.data, {'clean': validation.subset(places, found.validation),
                        'test': found.data.test}


def of(folder):
    """{`COLUMN`: JSON of {'raw noisy': [error after epoch 1, …], 'ema test': …}} of a run's folder.

    Keys are a kind of weights (raw, ema, swa) and a set: validation with the given labels (noisy),
    or one that was watched. Averages over the last epochs (swa) have one number.
    """
    with open(folder / workdir.METRICS, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    found = {}
    for column in rows[0]:
        parts = _ERROR.fullmatch(column)
        errors = [float(row[column]) for row in rows if parts and row[column]]
        if errors:
            name, kind = parts.groups()
            key = f'{(kind or "_raw")[1:]} {"noisy" if name == "val" else name}'
            found[key] = [round(error, 5) for error in errors]
    return {COLUMN: json.dumps(found)}


def errors(row):
    """What `of` gave, of a row of a table, as {key: float array}."""
    return {key: np.array(values) for key, values in json.loads(row[COLUMN]).items()}


def chosen_error(row, kind, by, of='test'):
    """Error of the epoch that a rule would have chosen.

    Args:
      row: of a table.
      kind: of weights: raw, ema or swa.
      by: the set whose error is smallest there, such as 'noisy' or 'clean'; or 'last'.
      of: the set whose error is given.

    Returns:
      float.
    """
    found = errors(row)
    place = -1 if by == 'last' else int(np.argmin(found[f'{kind} {by}']))
    return float(found[f'{kind} {of}'][place])


def oracle(grid, condition, arm):
    """{seed: test error}, the rate and the epoch chosen on the right labels of validation.

    The rates are those that the grid tried with all seeds, see `grid.Grid.contenders`.
    """
    rate = grid.chosen(condition, arm,
                       lambda row: chosen_error(row, 'raw', 'clean', of='clean'))
    if rate is None:
        return {}
    return {int(seed): chosen_error(grid.rows[condition, arm, f'{rate:g}', seed], 'raw', 'clean')
            for seed in grid.common_seeds(condition, arm)}
