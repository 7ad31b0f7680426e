"""Draws how loud an image is against the probability of its label: docs/pictures/gradient.svg.

  python -m tools.docs.gradient
"""

import math
import pathlib

import numpy as np

from bsce_tf import files
from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import element, join

PLACE = pathlib.Path(__file__).parents[2] / 'docs' / 'pictures' / 'gradient.svg'
CLASSES, RARE = 1000, 5.0  # K, and the class weight of a rare class
ALPHA, BETA, LOG_ZERO = 0.4, 0.7, -4.0
P = np.linspace(0.0, 1.0, 101)
STYLE = ('text{font:11px sans-serif;fill:#333}.grid path{stroke:#ccc;fill:none}'
         '@media(prefers-color-scheme:dark){text{fill:#ddd}.grid path{stroke:#555}}')


def curves():
    """{name: (colour, values)}: the gradient by the logit of the given class, without its sign."""
    miss, strength = 1 - P, BETA * -LOG_ZERO
    ratio = math.exp(math.log((CLASSES - 1) / 9)) * P
    biased = ratio / (miss + ratio)
    return {
        'ce': ('#6b7280', miss),
        f'bce, w = {RARE:g}': ('#16a34a', RARE * miss),
        'sce': ('#2563eb', (ALPHA + strength * P) * miss),
        f'bsce, w = {RARE:g}': ('#b91c1c', (ALPHA * RARE + strength * P) * miss),
        f'sce with ε of K = {CLASSES:,}': ('#d97706',
                                         ALPHA * miss + strength * biased * (1 - biased)),
    }


def draw():
    """The picture, as text."""
    width, height = 620, 300
    x, y = Axis(0.0, 1.0, 40, 430), Axis(0.0, 2.5, height - 40, 25, tight=True)
    marks = []
    for number, (name, (colour, values)) in enumerate(curves().items()):
        shown = [(float(x(p)), float(y(value))) for p, value in zip(P, values, strict=True)
                 if value <= 2.5]
        way = 'M' + 'L'.join(f'{left:.1f} {top:.1f}' for left, top in shown)
        place = 40 + 20 * number
        marks += [element('path', d=way, style=f'stroke:{colour};stroke-width:2;fill:none'),
                  element('path', d=f'M440 {place}h20', style=f'stroke:{colour};stroke-width:2'),
                  element('text', name, x=466, y=place + 4)]
    drawing = chart('Pull on the logit of the given class against its probability',
                    'The reverse term alone pulls most at one half; with the bias far below.', x, y,
                    join(marks), (width, height),
                    ('p, probability of the given class', 'pull on its logit'))
    return str(element('svg', element('style', STYLE), drawing,
                       xmlns='http://www.w3.org/2000/svg', viewBox=f'0 0 {width} {height}')) + '\n'


if __name__ == '__main__':
    files.write_text(PLACE, draw())
