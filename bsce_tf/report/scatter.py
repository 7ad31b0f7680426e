"""Scatter plot: error of each class by its training images; a density plot for many classes."""

import numpy as np

from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import count, element, join, plural, rate
from bsce_tf.report.mistakes import GROUPS

MOST_MARKS = 1500  # classes; more are drawn as a density
_SIZE, _LEFT, _RIGHT, _TOP, _FLOOR = (400, 310), 48, 384, 42, 266
_CELLS = 40, 25  # of the density: columns, rows
_ASIDE = 24  # pixels over which marks of one size are spread, at most
_FEWEST = 30  # least classes for a line of means
_MEANS = 8  # parts of equal width on the log axis, each with a mean


def draw(classes, names, title):
    """The chart as an SVG.

    Args:
      classes: `mistakes.Classes`.
      names: K class names.
      title: of the chart.

    Returns:
      `Markup`, or None if no class has both training and evaluated images.
    """
    shown = _shown(classes)
    if not len(shown):
        return None
    sizes, errors = classes.train[shown].astype(float), classes.error[shown]
    x = Axis(sizes.min() * 0.9, sizes.max() * 1.1, _LEFT, _RIGHT, log=True, tight=True)
    y = Axis(0.0, 1.0, _FLOOR, _TOP)
    dense = len(shown) > MOST_MARKS
    marks = _density(classes, shown, x, y) if dense else _marks(classes, shown, names, x, y)
    text = (f'{plural(len(shown), "class", "classes")} of {count(sizes.min())} to '
            f'{plural(sizes.max(), "training image")}. '
            + ' '.join(_words(classes, i) for i in range(len(GROUPS))))
    return chart(title, text, x, y, join([*_borders(classes, shown, x), *marks,
                                          _mean_line(sizes, errors, x, y)]),
                 _SIZE, ('training images of the class (log scale)', 'top-1 error'))


def _shown(classes):
    return np.flatnonzero((classes.images > 0) & (classes.train > 0))


def group_rows(classes):
    """Rows of a table: group, number of classes, smallest – largest class, mean error."""
    rows = []
    for i, name in enumerate(GROUPS):
        ids = np.flatnonzero(classes.group == i)
        sizes = classes.train[ids]
        errors = classes.error[ids]
        errors = errors[~np.isnan(errors)]
        rows.append((name, count(len(ids)),
                     f'{count(sizes.min())} – {count(sizes.max())}' if len(ids) else '',
                     rate(errors.mean() if len(errors) else None)))
    return rows


def _words(classes, group):
    name, number, sizes, error = group_rows(classes)[group]
    return f'{name.capitalize()}: {number} classes, {sizes} images, mean error {error}.'


def _borders(classes, shown, x):
    """A bar in the group's colour over its part of the axis, and borders between the groups."""
    drawn, before = [], None
    for i in (2, 1, 0):
        sizes = classes.train[shown[classes.group[shown] == i]]
        if not len(sizes):
            continue
        low, high = float(x(float(sizes.min()))), float(x(float(sizes.max())))
        if before is not None:
            border = (before + low) / 2
            drawn.append(element('path', d=f'M{border:.1f} {_FLOOR}V{_TOP - 18}', class_='border'))
        drawn.append(element('path', d=f'M{low:.1f} {_TOP - 14}H{max(high, low + 2):.1f}',
                             class_=f'span g{i}'))
        before = high
    return drawn


def _marks(classes, shown, names, x, y):
    """Circles (head), squares (medium) and triangles (tail)."""
    drawn = []
    size = 3.6 if len(shown) <= 200 else 2.4
    order = shown[np.argsort(-classes.train[shown], kind='stable')]
    for k, aside in zip(order, beside(classes.train[order], size), strict=True):
        a = min(max(float(x(float(classes.train[k]))) + aside, _LEFT + size), _RIGHT - size)
        b = float(y(classes.error[k]))
        text = (f'{names[k]}: error {rate(classes.error[k])}, '
                f'{plural(classes.train[k], "training image")}, {count(classes.images[k])} '
                'evaluated')
        drawn.append(element('path', element('title', text), d=shape(classes.group[k], a, b, size),
                             class_=f'mark g{classes.group[k]}'))
    return drawn


def beside(sizes, size):
    """float `[n]`: how far to move each mark aside, so that classes of one size do not hide others.

    Args:
      sizes: int `[n]`, training images of the classes, sorted.
      size: of a mark, in pixels.
    """
    _, first, inverse, number = np.unique(sizes, return_index=True, return_inverse=True,
                                          return_counts=True)
    place = np.arange(len(sizes)) - first[inverse]
    step = np.minimum(2 * size, _ASIDE / number)
    return ((place - (number[inverse] - 1) / 2) * step[inverse]).tolist()


def shape(group, a, b, size):
    """SVG path of a group's mark at (a, b): circle, square or triangle of about equal area."""
    if group == 0:
        half = f'a{size} {size} 0 1 0 '
        return f'M{a - size:.1f} {b:.1f}{half}{2 * size:.1f} 0{half}{-2 * size:.1f} 0z'
    if group == 1:
        half = 0.9 * size
        return f'M{a - half:.1f} {b - half:.1f}h{2 * half:.1f}v{2 * half:.1f}h{-2 * half:.1f}z'
    tall = 1.25 * size
    return f'M{a:.1f} {b - tall:.1f}l{1.15 * size:.1f} {2 * size:.1f}h{-2.3 * size:.1f}z'


def _density(classes, shown, x, y):
    """Cells, darker for more classes, in the colour of the group of most of their classes."""
    along, up = _CELLS
    columns = np.clip(((x(classes.train[shown].astype(float)) - _LEFT) / (_RIGHT - _LEFT)
                       * along).astype(int), 0, along - 1)
    rows = np.clip((classes.error[shown] * up).astype(int), 0, up - 1)
    codes = (columns * up + rows) * len(GROUPS) + classes.group[shown]
    number = np.bincount(codes, minlength=along * up * len(GROUPS)).reshape(along * up, -1)
    total = number.sum(axis=1)
    wide, high = (_RIGHT - _LEFT) / along, (_FLOOR - _TOP) / up
    drawn = []
    for cell in np.flatnonzero(total):
        column, row = divmod(int(cell), up)
        strength = 0.15 + 0.85 * np.log1p(total[cell]) / np.log1p(total.max())
        text = (f'{plural(total[cell], "class", "classes")}, error {row / up:.2f} to '
                f'{(row + 1) / up:.2f}')
        drawn.append(element(
            'rect', element('title', text), x=f'{_LEFT + column * wide:.1f}',
            y=f'{float(y((row + 1) / up)):.1f}', width=f'{wide:.2f}', height=f'{high:.2f}',
            fill_opacity=f'{strength:.2f}', class_=f'cell g{number[cell].argmax()}'))
    return drawn


def _mean_line(sizes, errors, x, y):
    """A line through the mean errors of the classes in equal parts of the log axis."""
    places = x(sizes)
    if not _has_mean(sizes):
        return None
    part = np.minimum(((places - places.min()) / (places.max() - places.min()) * _MEANS)
                      .astype(int), _MEANS - 1)
    points = [(places[part == i].mean(), float(y(errors[part == i].mean())))
              for i in range(_MEANS) if (part == i).any()]
    return element('path', element('title', 'mean error of classes of similar size'),
                   d='M' + 'L'.join(f'{a:.1f} {b:.1f}' for a, b in points), class_='mean')


def _has_mean(sizes):
    return len(sizes) >= _FEWEST and sizes.max() > sizes.min()


def legend(classes):
    """The legend of the marks."""
    sizes = classes.train[_shown(classes)]
    keys = [element('li', element('svg', element('title', name), element(
        'path', d=shape(i, 7, 7, 4.5), class_=f'mark g{i}'), viewBox='0 0 14 14', width=14,
        height=14, role='img'), element('span', name)) for i, name in enumerate(GROUPS)]
    if _has_mean(sizes):
        keys.append(element('li', element('svg', element('title', 'mean'), element(
            'path', d='M1 6H33', class_='mean'), viewBox='0 0 34 12', width=34, height=12,
            role='img'), element('span', 'mean of classes of similar size')))
    if len(sizes) > MOST_MARKS:
        keys.append(element('li', element('span', 'darker: more classes')))
    return element('ul', *keys, class_='legend')
