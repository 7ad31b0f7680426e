"""Curves of metrics.csv: one chart per metric, with one line per run and kind of weights."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import Markup, element, join, plural, short

KINDS = {'train': 'training', 'val': 'validation', 'ema': 'validation, EMA weights',
         'swa': 'validation, SWA weights', 'rate': 'learning rate'}
COLOURS = 8  # of style.CSS: c0 … c7
_RATE = 'learning_rate'
_NAMES = {'loss': 'Loss', 'mean_top1_error': 'Mean top-1 error', 'top1_error': 'Top-1 error',
          'top5_error': 'Top-5 error', _RATE: 'Learning rate'}
_SIZE, _LEFT, _RIGHT, _TOP, _FLOOR = (400, 260), 48, 378, 26, 218
_POINTS = 300  # per line, about; longer lines are thinned
_DOTS = 40  # epochs up to which each one has a dot


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      run: index of the run.
      kind: key of `KINDS`.
      epochs, values: float `[n]`; a missing value is NaN.
    """

    run: int
    kind: str
    epochs: np.ndarray
    values: np.ndarray


def split_name(column):
    """(metric, kind) of a column of metrics.csv: val_ema_loss → (loss, ema)."""
    if column == _RATE:
        return column, 'rate'
    if not column.startswith('val_'):
        return column, 'train'
    rest = column.removeprefix('val_')
    for kind in ('ema', 'swa'):
        if rest.startswith(f'{kind}_'):
            return rest.removeprefix(f'{kind}_'), kind
    return rest, 'val'


def lines(histories):
    """{metric: [Line]} of all columns but stage and epoch, in their order.

    Args:
      histories: for each run the rows of metrics.csv, dicts of numbers; an empty cell is NaN.
    """
    found = {}
    for number, rows in enumerate(histories):
        epochs = np.array([row['epoch'] for row in rows], float)
        for column in dict.fromkeys(name for row in rows for name in row):
            if column in ('stage', 'epoch'):
                continue
            metric, kind = split_name(column)
            values = np.array([row.get(column, math.nan) for row in rows], float)
            found.setdefault(metric, []).append(Line(number, kind, epochs, values))
    return found


def stage_starts(rows):
    """[(stage, its first epoch)] of every stage but the first."""
    return [(int(row['stage']), row['epoch']) for before, row in itertools.pairwise(rows)
            if row['stage'] != before['stage']]


def charts(histories, names):
    """One chart per metric, as a list of `Markup`; none of a learning rate that never changes.

    Args:
      histories: as in `lines`.
      names: of the runs.
    """
    found = lines(histories)
    if constant_rate(histories):
        del found[_RATE]
    order = sorted(found, key=lambda name: name == _RATE)
    marks = sorted({(epoch, stage) for rows in histories for stage, epoch in stage_starts(rows)})
    return [_chart(metric, found[metric], names, marks) for metric in order]


def constant_rate(histories):
    """A paragraph with the learning rate if all runs have the same throughout, else None."""
    rates = {row.get(_RATE) for rows in histories for row in rows}
    if len(rates) != 1 or None in rates or not math.isfinite(min(rates)):
        return None
    return element('p', f'Learning rate: {short(rates.pop())} throughout.', class_='soft')


def colour(line, runs):
    """CSS class of a line: its colour shows the run, or the kind if there is only one run."""
    number = line.run if runs > 1 else list(KINDS).index(line.kind)
    return f'c{number % COLOURS}'


def _chart(metric, parts, names, marks):
    title = _NAMES.get(metric, metric.replace('_', ' ').capitalize())
    values = np.concatenate([part.values for part in parts])
    values = values[np.isfinite(values)]
    if not len(values):
        return element('p', f'{title}: no finite value in {plural(len(parts), "column")}.')
    epochs = np.concatenate([part.epochs for part in parts])
    low, high = float(values.min()), float(values.max())
    log = metric == _RATE and low > 0 and high / low >= 8
    if not log and low > 0 and low < 0.6 * high:
        low = 0.0
    x = Axis(float(epochs.min()), float(epochs.max()), _LEFT, _RIGHT, tight=len(set(epochs)) > 1,
             whole=True)
    y = Axis(low, high, _FLOOR, _TOP, log=log)
    drawn = [_stage_mark(x, *mark) for mark in marks]
    drawn += [_line(part, names, x, y) for part in parts]
    text = '; '.join(_words(part, names) for part in parts)
    return element('figure', chart(
        f'{title} by epoch', text, x, y, join(drawn), _SIZE, ('epoch', '')),
        element('figcaption', title, ' (log scale)' if log else None))


def _words(part, names):
    good = np.flatnonzero(np.isfinite(part.values))
    if not len(good):
        return f'{names[part.run]}, {KINDS[part.kind]}: no finite value'
    first, last = good[0], good[-1]
    lowest = good[np.argmin(part.values[good])]
    return (f'{names[part.run]}, {KINDS[part.kind]}: from {short(part.values[first])} in epoch '
            f'{int(part.epochs[first])} to {short(part.values[last])} in epoch '
            f'{int(part.epochs[last])}, lowest {short(part.values[lowest])} in epoch '
            f'{int(part.epochs[lowest])}')


def _stage_mark(x, epoch, stage):
    place = round(float(x(epoch - 0.5)), 1)
    return element('g', element('path', d=f'M{place} {_FLOOR}V{_TOP}'),
                   element('text', f'stage {stage}', x=place + 3, y=_TOP + 8), class_='stage')


def thin(values, most):
    """Indices of a long line to draw: the lowest and highest value of each of `most` / 2 parts."""
    if len(values) <= most:
        return np.arange(len(values))
    places = set()
    for part in np.array_split(np.arange(len(values)), most // 2):
        good = part[np.isfinite(values[part])]
        if len(good):
            places |= {int(good[np.argmin(values[good])]), int(good[np.argmax(values[good])])}
        else:
            places.add(int(part[0]))  # keeps the gap
    return np.array(sorted(places | {0, len(values) - 1}))


def _line(part, names, x, y):
    places = thin(part.values, _POINTS)
    path, pen, dots = [], 'M', []
    with np.errstate(invalid='ignore', divide='ignore'):
        left, top = x(part.epochs[places]), y(part.values[places])
    label = f'{names[part.run]}, {KINDS[part.kind]}'
    for i, (a, b) in enumerate(zip(left, top, strict=True)):
        if not np.isfinite(b):
            pen = 'M'
            continue
        path.append(f'{pen}{a:.1f} {b:.1f}')
        alone = pen == 'M' and (i + 1 == len(top) or not np.isfinite(top[i + 1]))
        pen = 'L'
        if alone or len(places) <= _DOTS:
            value = part.values[places[i]]
            dots.append(element('circle', element(
                'title', f'{label}, epoch {int(part.epochs[places[i]])}: {short(value)}'),
                cx=f'{a:.1f}', cy=f'{b:.1f}', r=4 if alone else 2.4))
    return element('g', element('path', element('title', label), d=''.join(path)) if path else None,
                   *dots, class_=f'line {colour(part, len(names))} {part.kind}')


def legend(histories, names):
    """The legend of all charts: colours and dashes."""
    kinds = {line.kind for parts in lines(histories).values() for line in parts}
    keys = []
    if len(names) > 1:
        keys += [_key(name, f'c{i % COLOURS} val') for i, name in enumerate(names)]
    keys += [_key(text, f'{colour(Line(0, kind, None, None), 1) if len(names) == 1 else "plain"}'
                        f' {kind}') for kind, text in KINDS.items() if kind in kinds - {'rate'}]
    return element('ul', *keys, class_='legend')


def _key(text, classes):
    picture = element('svg', element('title', text), element(
        'g', Markup('<path d="M1 6H33"></path><circle cx="17" cy="6" r="2.4"></circle>'),
        class_=f'line {classes}'), viewBox='0 0 34 12', width=34, height=12, role='img')
    return element('li', picture, element('span', text))
