"""SVG charts: axes, ticks, grid, title and description.

Not matplotlib: five charts of a run of 40 epochs took its SVG backend 0.62 s and 121 kB, this code
0.01 s and 57 kB; its import takes 0.9 s, its packages 95 MB. Its pictures have fixed colours and no
tooltips. These follow the page's light or dark style and tell values to mouse and screen reader.
"""

import math

import numpy as np

from bsce_tf.report.markup import element, short


class Axis:
    """Maps the values of one axis to coordinates of the picture.

    Args:
      low, high: range of the data; if they are equal, a margin is added.
      start, end: their coordinates in the picture.
      log: logarithmic; `low` is then above 0.
      tight: the axis ends at `low` and `high`, otherwise at the next ticks.
      whole: ticks at whole numbers only.

    Attributes:
      start, end: as given.
      ticks: values to mark.
    """

    def __init__(self, low, high, start, end, log=False, tight=False, whole=False):
        self.log = log
        if high <= low:
            margin = abs(low) / 2 or 0.5
            low, high = (low / 2, low * 2) if log else (low - margin, high + margin)
        self.ticks = _log_ticks(low, high) if log else _ticks(low, high, whole)
        if not tight and self.ticks:
            low, high = min(low, self.ticks[0]), max(high, self.ticks[-1])
        self.ticks = [t for t in self.ticks if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        self._ends = self._scaled(low), self._scaled(high)
        self.start, self.end = start, end

    def _scaled(self, value):
        return np.log10(value) if self.log else value

    def __call__(self, value):
        """Coordinate of a value, or of an array of values."""
        low, high = self._ends
        share = (self._scaled(value) - low) / (high - low)
        return self.start + share * (self.end - self.start)


def _ticks(low, high, whole):
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next((m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= 5), 10)
    if whole:
        step = max(math.ceil(step), 1)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low, high):
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, math.ceil((last - first) / 6))
    ticks = [m * 10.0 ** p for p in range(first, last + 1, every) for m in factors]
    below = [t for t in ticks if t <= low * (1 + 1e-9)]
    above = [t for t in ticks if t >= high * (1 - 1e-9)]
    return [t for t in ticks if (not below or t >= below[-1]) and (not above or t <= above[0])]


def chart(title, text, x, y, marks, size, labels=('', '')):
    """A whole SVG picture.

    Args:
      title: for screen readers and the tooltip.
      text: description of the data for screen readers.
      x, y: `Axis` each.
      marks: `Markup` of the data.
      size: width and height; text is 11 units high.
      labels: of the two axes.

    Returns:
      `Markup`, which fills the width of its parent.
    """
    width, height = size
    left, right, floor = x.start, x.end, y.start
    grid, letters = [], []
    for tick in y.ticks:
        place = round(float(y(tick)), 1)
        grid.append(element('path', d=f'M{left} {place}H{right}'))
        letters.append(element('text', short(tick), x=left - 5, y=place + 3.5, text_anchor='end'))
    for tick in x.ticks:
        place = round(float(x(tick)), 1)
        grid.append(element('path', d=f'M{place} {floor}v4'))
        letters.append(element('text', short(tick), x=place, y=floor + 15, text_anchor='middle'))
    letters.append(element('text', labels[0], x=(left + right) / 2, y=height - 3,
                           text_anchor='middle'))
    letters.append(element('text', labels[1], x=8, y=14, text_anchor='start'))
    return element(
        'svg', element('title', title), element('desc', text),
        element('g', *grid, class_='grid'), marks, element('g', *letters, class_='letters'),
        viewBox=f'0 0 {width} {height}', role='img', aria_label=title)
