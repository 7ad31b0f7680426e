"""Reads and checks the files of a run: metrics, errors, bad images and config."""

import csv
import json
import math
from typing import NamedTuple

from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.report import neighbours
from bsce_tf.training import stages, workdir

ENSEMBLE = 'ensemble.json'
RATES = {'mean_top1_error': 'mean top-1', 'top1_error': 'top-1', 'top5_error': 'top-5',
         'head_error': 'head', 'medium_error': 'medium', 'tail_error': 'tail'}

# What eval.json and ensemble.json hold: errors in one dict, or in several, listed or by name.
_TABLES = {'scales': 2, 'weights': 2, 'models': 2, 'vote': 1, 'mean': 1}


class Results(NamedTuple):
    """The files of one run.

    Attributes:
      run: the `workdir.Run`.
      name: shown on the page.
      history: rows of metrics.csv, {column: float}, an empty cell is NaN; [] without the file.
      evaluation: the dict of eval.json, or None.
      bad_images: rows of bad_images.csv, [(path, reason)].
      config: {dotted name: value} of config.json.
      losses: name of the loss of each stage.
      neighbours: the dict of neighbours.json, or None.
    """

    run: workdir.Run
    name: str
    history: list
    evaluation: dict | None
    bad_images: list
    config: dict
    losses: list
    neighbours: dict | None = None


def read(folder, name):
    """The `Results` of a trained run.

    Raises:
      InputError: if there is no trained run in the folder, or a file of it is damaged.
    """
    run = workdir.read(folder)
    config = workdir.config_of(run.folder)
    losses = [stage.loss.name for stage in stages.resolve(config)]
    return Results(run, name, read_history(run.folder / workdir.METRICS),
                   read_errors(run.folder / workdir.EVALUATION),
                   read_bad_images(run.folder / workdir.BAD_IMAGES),
                   stored.flat(config.to_dict()), losses, neighbours.read(run.folder))


def read_history(path):
    """Rows of metrics.csv as dicts of floats; [] if there is no such file.

    Raises:
      InputError: if a column is missing or a cell is no number, naming the line.
    """
    rows = _csv_rows(path)
    if not rows:
        return []
    missing = {'stage', 'epoch'} - rows[0].keys()
    if missing:
        raise InputError(f'{path}: found the columns {", ".join(map(str, rows[0]))}; expected '
                         f'{" and ".join(sorted(missing))} too, as a run writes it.')
    history = []
    for number, row in enumerate(rows, 2):
        values = {}
        for name, text in row.items():
            if name is None or text is None:
                raise InputError(f'{path}: line {number} has {"more" if name is None else "fewer"} '
                                 'cells than the first; expected as many.')
            try:
                values[name] = float(text) if text else math.nan
            except ValueError as error:
                raise InputError(f"{path}: line {number}: found '{text}' as {name}; expected a "
                                 'number.') from error
        if not all(values[name] % 1 == 0 for name in ('stage', 'epoch')):
            raise InputError(f"{path}: line {number}: found stage '{row['stage']}' and epoch "
                             f"'{row['epoch']}'; expected whole numbers.")
        history.append(values)
    return history


def read_bad_images(path):
    """[(path, reason)] of bad_images.csv; [] if there is no such file.

    Raises:
      InputError: if it has other columns.
    """
    rows = _csv_rows(path)
    if rows and not {'path', 'reason'} <= rows[0].keys():
        raise InputError(f'{path}: found the columns {", ".join(map(str, rows[0]))}; expected path '
                         'and reason.')
    return [(row['path'], row['reason'] or '') for row in rows]


def read_errors(path):
    """The dict of eval.json or ensemble.json; None if there is no such file.

    Raises:
      InputError: if it is damaged, or an error in it is no number from 0 to 1.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: {error}; expected JSON that --mode=evaluate wrote.') from error
    if not isinstance(found, dict):
        raise InputError(f'{path}: found a {type(found).__name__}; expected a JSON object.')
    for name, depth in _TABLES.items():
        if name in found and not _is_table(found[name], depth):
            raise InputError(f'{path}: found {found[name]!r:.60} as {name}; expected what '
                             '--mode=evaluate wrote.')
    if type(found.get('adjust_tau', 0.0)) not in (int, float):
        raise InputError(f'{path}: found {found["adjust_tau"]!r:.60} as adjust_tau; expected a '
                         'number.')
    if type(found.get('other_data', {})) is not dict:
        raise InputError(f'{path}: found {found["other_data"]!r:.60} as other_data; expected a '
                         'JSON object.')
    for name, value in _rates(found):
        if value is not None and not (type(value) in (int, float) and 0 <= value <= 1):
            raise InputError(f'{path}: found {value!r} as {name}; expected a number from 0 to 1, '
                             'or null.')
    return found


def _is_table(value, depth):
    if depth == 1:
        return type(value) is dict
    parts = value.values() if type(value) is dict else value
    return type(value) in (dict, list) and all(_is_table(part, depth - 1) for part in parts)


def _rates(found):
    """(name, value) of all errors in nested dicts and lists."""
    for key, value in found.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from _rates(part)
        if key in RATES:
            yield key, value


def _csv_rows(path):
    try:
        with open(path, newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f'{path}: {error}; expected a CSV file that a run wrote.') from error
