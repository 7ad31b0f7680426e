"""A study's runs as a picture: a row an arm, a dot a seed, a line at the mean."""

import statistics

from bsce_tf.report.axes import Axis
from bsce_tf.report.markup import element, short

STYLE = ('text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ccc}'
         '.dot{fill:#2563eb;fill-opacity:.6}.mean{stroke:#b91c1c;stroke-width:2}'
         '@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}'
         '.dot{fill:#7aa2ff}.mean{stroke:#ff8a8a}}')
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


def _row(arm, errors, x, y):
    middle = y + 10
    mean = float(x(statistics.mean(errors)))
    return [element('text', arm, x=_LEFT - 10, y=middle + 4, text_anchor='end'),
            *(element('circle', cx=round(float(x(error)), 1), cy=middle, r=4, class_='dot')
              for error in errors),
            element('path', d=f'M{mean:.1f} {middle - 7}v14', class_='mean')]
