"""How much A, α, β and γ matter, one at a time, on the demo's data.

    python -m experiments.sweep [--seeds=0,1]

A is what log 0 is taken to be, α and β weigh the two parts of the loss, γ balances the sampler. For
a hard label RCE is −A·(1 − p), so only the product β·|A| counts: A and β are two names of one knob,
and each is shown with its product. γ is swept with SCE, as BSCE balances too. Writes
results/sweep.csv, results/sweep.md and
results/sweep_curves.svg.
"""

import pathlib
import statistics

from absl import app

from bsce_tf import files
from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import element, join
from configs import fashion_mnist
from experiments import study

SWEEPS = {  # name: (field, its values, other changes); the demo's own values are among them
    'A': ('loss.log_zero', (-2.0, -4.0, -6.0, -9.21), {}),
    'α': ('loss.alpha', (0.1, 0.2, 0.4, 0.8, 1.6), {}),
    'β': ('loss.beta', (0.0, 0.2, 0.7, 2.0), {}),
    'γ': ('sampler.gamma', (0.0, 0.25, 0.5, 0.75, 1.0), {'loss.name': 'sce'}),
}
BASE = 'A = -4'  # the demo as it is; the same run as α = 0.4 and β = 0.7
_SAME = {'α = 0.4', 'β = 0.7'}
_WIDTH, _HEIGHT = 250, 210
_STYLE = ('text{font:11px sans-serif;fill:#333}.grid path{stroke:#ccc;fill:none}'
          '.line{stroke:#2563eb;stroke-width:2;fill:none}.dot{fill:#2563eb}'
          '@media(prefers-color-scheme:dark){text{fill:#ddd}.grid path{stroke:#555}'
          '.line{stroke:#7aa2ff}.dot{fill:#7aa2ff}}')


def name_of(sweep, value):
    """Name of the arm of a sweep's value."""
    return f'{sweep} = {value:g}'


ARMS = {name_of(sweep, value): {field: value, **others}
        for sweep, (field, values, others) in SWEEPS.items() for value in values
        if name_of(sweep, value) not in _SAME}
STUDY = study.Study('sweep', 'A, α, β and γ', {'symmetric30': {}}, ARMS, BASE, {}, seeds=[0, 1],
                    rates=[0.1], same={('symmetric30', arm): there for arm, there in {
                        BASE: ('table2', 'bsce'), 'γ = 0': ('table2', 'sce'),
                        'A = -9.21': ('recipes', 'stronger reverse term'),
                        'γ = 0.5': ('recipes', 'square-root sampling'),
                        'γ = 1': ('recipes', 'balanced sampling')}.items()})


def points(found, condition, sweep):
    """[(value, mean test error, errors)] of the values of a sweep that were run."""
    rows = []
    for value in SWEEPS[sweep][1]:
        name = name_of(sweep, value)
        errors = found.errors(condition, BASE if name in _SAME else name)
        if errors:
            rows.append((value, statistics.mean(errors.values()), errors))
    return rows


def picture(found, condition):
    """SVG: a chart a sweep, side by side; None where nothing was run."""
    drawn = {sweep: points(found, condition, sweep) for sweep in SWEEPS}
    every = [e for rows in drawn.values() for _, _, errors in rows for e in errors.values()]
    if not every:
        return None
    charts = [_chart(sweep, rows, every, i * _WIDTH)
              for i, (sweep, rows) in enumerate(drawn.items()) if rows]
    return str(element(
        'svg', element('title', 'Mean top-1 error against A, α, β and γ'),
        element('style', _STYLE), *charts, xmlns='http://www.w3.org/2000/svg', role='img',
        viewBox=f'0 0 {_WIDTH * len(SWEEPS)} {_HEIGHT}')) + '\n'


def _chart(sweep, rows, every, left):
    x = Axis(min(row[0] for row in rows), max(row[0] for row in rows), 40, _WIDTH - 14)
    y = Axis(min(every), max(every), _HEIGHT - 40, 30)
    line = 'M' + 'L'.join(f'{x(value):.1f} {y(mean):.1f}' for value, mean, _ in rows)
    dots = [element('circle', cx=round(float(x(value)), 1), cy=round(float(y(error)), 1), r=2.5,
                    class_='dot') for value, _, errors in rows for error in errors.values()]
    text = f'{sweep}: ' + ', '.join(f'{value:g} gives {mean:.4f}' for value, mean, _ in rows)
    drawing = chart(f'mean top-1 error against {sweep}', text, x, y,
                    join([element('path', d=line, class_='line'), *dots]), (_WIDTH, _HEIGHT),
                    (sweep, 'error'))
    return element('svg', drawing, x=left, y=0, width=_WIDTH, height=_HEIGHT)


def main(_):
    """Runs what the flags name."""
    def draw(found, condition):
        drawing = picture(found, condition)
        if drawing:
            files.write_text(pathlib.Path(f'{STUDY.output}_curves.svg'), drawing)
    study.run(STUDY, fashion_mnist.get_config(), after=draw)


if __name__ == '__main__':
    app.run(main)
