"""A study's runs as pictures: a row an arm, a dot a seed; or errors against numbers of classes."""

import statistics

from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import element, join, short
from experiments import intervals

STYLE = ('text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ccc}'
         '.dot{fill:#2563eb;fill-opacity:.6}.mean{stroke:#b91c1c;stroke-width:2}'
         '@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}'
         '.dot{fill:#7aa2ff}.mean{stroke:#ff8a8a}}')
GROWTH_STYLE = ('text{font:11px sans-serif;fill:#333}.grid path{stroke:#ccc;fill:none}'
                '@media(prefers-color-scheme:dark){text{fill:#ddd}.grid path{stroke:#555}}')
_LEFT, _RIGHT, _ROW, _HEAD, _FOOT = 190, 620, 20, 26, 34


def draw(found, study):
    """SVG of mean top-1 errors on the test set; '' where nothing was run.

    Args:
      found: a `grid.Grid`.
      study: a `study.Study`.
    """
    name = f'{study.title}: a dot a run'
    parts = {condition: {arm: list(found.errors(condition, arm).values()) for arm in study.arms}
             for condition in study.conditions}
    parts = {condition: {arm: errors for arm, errors in arms.items() if errors}
             for condition, arms in parts.items()}
    parts = {condition: arms for condition, arms in parts.items() if arms}
    if not parts:
        return ''
    every = [error for arms in parts.values() for errors in arms.values() for error in errors]
    x = Axis(min(every), max(every), _LEFT, _RIGHT - 20)
    marks, words, y = [], [], _HEAD
    for condition, arms in parts.items():
        marks.append(element('text', condition, x=8, y=y + 14, class_='title'))
        for arm, errors in arms.items():
            y += _ROW
            marks += _row(arm, errors, x, y)
            words.append(f'{condition}, {arm}: {statistics.mean(errors):.4f} '
                         f'(runs: {len(errors)})')
        y += _ROW + _HEAD // 2
    floor = y - _HEAD // 4
    grid = [element('path', d=f'M{x(tick):.1f} {_HEAD}V{floor}', class_='grid')
            for tick in x.ticks]
    letters = [element('text', short(tick), x=round(float(x(tick)), 1), y=floor + 15,
                       text_anchor='middle') for tick in x.ticks]
    letters.append(element('text', 'mean top-1 error, test', x=(_LEFT + _RIGHT) / 2, y=floor + 30,
                           text_anchor='middle'))
    return str(element(
        'svg', element('title', name), element('desc', '; '.join(words)),
        element('style', STYLE), element('text', name, x=8, y=16, class_='title'), *grid, *marks,
        *letters, xmlns='http://www.w3.org/2000/svg', role='img',
        viewBox=f'0 0 {_RIGHT} {floor + _FOOT}')) + '\n'


def growth(found, points, arms, title):
    """SVG of mean top-1 errors against K, a line an arm; '' where nothing was run.

    Args:
      found: a `grid.Grid`.
      points: [(condition, K)].
      arms: {name of an arm: its colour}.
      title: of the picture.
    """
    return curves({arm: [(classes, list(errors.values())) for condition, classes in points
                         if (errors := found.errors(condition, arm))] for arm in arms},
                  arms, title, 'classes', [classes for _, classes in points], log=True)


def curves(lines, colours, title, what, numbers, log=False):
    """SVG of mean top-1 errors against a number, a line an arm; '' where nothing was run.

    Args:
      lines: {name of an arm: [(number, errors of all seeds)]}.
      colours: {name of an arm: its colour}.
      title: of the picture.
      what: of the numbers, in words.
      numbers: all that the axis shows.
      log: whether the axis is logarithmic.
    """
    lines = {arm: sorted(line) for arm, line in lines.items() if line}
    if not lines:
        return ''
    width, height = 620, 330
    ends = [end for line in lines.values() for _, errors in line for end in _interval(errors)]
    x = Axis(min(numbers), max(numbers), 50, width - 150, log=log)
    y = Axis(max(min(ends), 0), min(max(ends), 1), height - 45, 25)
    marks, words = [], []
    for place, (arm, line) in enumerate(lines.items()):
        marks += _line(line, x, y, colours[arm], shift=4 * (place - (len(lines) - 1) / 2))
        place = 40 + 20 * place
        marks += [element('path', d=f'M{width - 138} {place}h24',
                          style=f'stroke:{colours[arm]};stroke-width:2'),
                  element('text', arm, x=width - 108, y=place + 4)]
        words += [f'{arm}, {number} {what}: {statistics.mean(errors):.4f} (runs: {len(errors)})'
                  for number, errors in line]
    drawing = chart(title, '; '.join(words), x, y, join(marks), (width, height),
                    (what, title))
    return str(element('svg', element('style', GROWTH_STYLE), drawing,
                       xmlns='http://www.w3.org/2000/svg', viewBox=f'0 0 {width} {height}')) + '\n'


def _line(line, x, y, colour, shift):
    """Means joined by a line, with their 95 % intervals, a little aside of other arms'."""
    points = [(float(x(k)) + shift, errors) for k, errors in line]
    way = 'M' + 'L'.join(f'{left:.1f} {float(y(statistics.mean(errors))):.1f}'
                         for left, errors in points)
    found = [element('path', d=way, style=f'stroke:{colour};stroke-width:2;fill:none')]
    for left, errors in points:
        low, high = (min(max(float(y(end)), y.end), y.start) for end in _interval(errors))
        found.append(element('path', d=f'M{left:.1f} {low:.1f}V{high:.1f}',
                             style=f'stroke:{colour};stroke-width:1.5'))
        found.append(element('circle', cx=round(left, 1), r=3, style=f'fill:{colour}',
                             cy=round(float(y(statistics.mean(errors))), 1)))
    return found


def _interval(errors):
    """Ends of the 95 % interval of the mean; the error itself twice of one run."""
    mean = statistics.mean(errors)
    half = intervals.half_interval(errors) if len(errors) > 1 else 0.0
    return mean - half, mean + half


def _row(arm, errors, x, y):
    middle = y + 10
    mean = float(x(statistics.mean(errors)))
    return [element('text', arm, x=_LEFT - 10, y=middle + 4, text_anchor='end'),
            *(element('circle', cx=round(float(x(error)), 1), cy=middle, r=4, class_='dot')
              for error in errors),
            element('path', d=f'M{mean:.1f} {middle - 7}v14', class_='mean')]
