"""A histogram of class sizes as an SVG file, without a plotting library."""

import html
import itertools

import numpy as np

from bsce_tf import files

_BAR, _GAP, _HEIGHT = 44, 8, 240  # pixels
_LEFT, _TOP, _BOTTOM = 24, 64, 56


def bins(counts):
    """Classes by size, in bins that double: 0, 1, 2–3, 4–7, …

    Args:
      counts: int `[K]`, images of each class.

    Returns:
      List of (smallest size, largest size, number of classes).
    """
    counts = np.asarray(counts)
    edges = [0] + [1 << power for power in range(int(counts.max()).bit_length() + 1)]
    return [(low, high - 1, int(((counts >= low) & (counts < high)).sum()))
            for low, high in itertools.pairwise(edges)]


def write_svg(path, counts, title):
    """Writes the picture, whole or not at all.

    Args:
      path: `.svg` file to write.
      counts: int `[K]`, images of each class.
      title: text over the bars.
    """
    found = bins(counts)
    highest = max(number for _, _, number in found)
    width = max(2 * _LEFT + len(found) * (_BAR + _GAP), 480)
    floor = _TOP + _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{floor + _BOTTOM}" '
        'font-family="sans-serif" font-size="11" text-anchor="middle">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{width / 2}" y="24" font-size="14">{html.escape(title)}</text>',
    ]
    for i, (low, high, number) in enumerate(found):
        left = _LEFT + i * (_BAR + _GAP)
        middle = left + _BAR / 2
        height = _HEIGHT * number / highest
        size = f'{low}' if low == high else f'{low}–{high}'
        parts += [
            f'<rect x="{left}" y="{floor - height:.1f}" width="{_BAR}" height="{height:.1f}" '
            f'fill="{"#c44" if high == 0 else "#47a"}"/>',
            f'<text x="{middle}" y="{floor - height - 5:.1f}">{number}</text>',
            f'<text x="{middle}" y="{floor + 16}" font-size="9">{size}</text>',
        ]
    parts += [f'<text x="{width / 2}" y="{floor + 40}">images per class; bars: number '
              'of classes</text>', '</svg>']
    files.write_text(path, '\n'.join(parts) + '\n')
