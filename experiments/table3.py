"""The paper's Table 3 on data that anyone can get: test scales, alone and with averaged features.

    python -m experiments.table3

Shows the runs of `experiments.table1` and `experiments.table2`, each of which was evaluated at all
scales. Writes results/table3.md.
"""

import json
import pathlib
import statistics

from absl import app

from bsce_tf import files
from experiments import study, table1, table2

OUTPUT = 'results/table3.md'
ALL = 'tta'  # of `by_scale`: features of all scales averaged
PAPER = ('Paper, PNASNet on AliProducts: 384: 0.1407, 412: 0.1386, 424: 0.1384, 436: 0.1383, '
         '464: 0.1425, all: 0.1354.')


def table(studies):
    """Markdown: mean top-1 errors of every arm of [(`study.Study`, `grid.Grid`)], over seeds."""
    lines = ['| data | arm | smallest scale | middle | largest | all, features averaged '
             '| − middle | runs |', '|---|---|---:|---:|---:|---:|---:|---:|']
    for made, found in studies:
        for condition in made.conditions:
            for arm in made.arms:
                runs = [json.loads(row['by_scale'])
                        for row in found.rows_of(condition, arm).values()]
                lines.append(f'| {made.name}: {condition} | {arm} | {_cells(runs)} |')
    return '\n'.join([*lines, '', PAPER, ''])


def _cells(runs):
    if not runs:
        return ' | '.join(['not run', *[''] * 5])
    scales = sorted((scale for scale in runs[0] if scale != ALL), key=int)
    wanted = scales[0], scales[len(scales) // 2], scales[-1], ALL
    low, middle, high, every = (statistics.mean(run[scale] for run in runs) for scale in wanted)
    return ' | '.join([*(f'{error:.4f}' for error in (low, middle, high, every)),
                       f'{every - middle:+.4f}', str(len(runs))])


def main(_):
    """Reads what there is of the two tables and writes this one."""
    text = table([(made, study.make_grid(made)) for made in (table1.STUDY, table2.STUDY)])
    files.write_text(pathlib.Path(OUTPUT), text)
    print(text)


if __name__ == '__main__':
    app.run(main)
