"""What the programs of the tables share: flags, the runs of all conditions, table and picture.

Flags: --conditions and --seeds to run only some, --rates to choose from others, --output and --runs
for other places. A program goes on where it was stopped, and a row that is in the CSV file is never
run again.
"""

import pathlib
import statistics
from typing import NamedTuple

from absl import flags

from bsce_tf import files
from experiments import grid, picture

WHICH = flags.DEFINE_list('conditions', None, 'Only these conditions.')
SEEDS = flags.DEFINE_list('seeds', None, 'Of data, weights and crops.')
RATES = flags.DEFINE_list('rates', None, 'Learning rates that each arm may choose from.')
OUTPUT = flags.DEFINE_string('output', None, 'The tables, without .csv and .md.')
RUNS = flags.DEFINE_string('runs', None, 'Folder for the files of runs.')


class Study(NamedTuple):
    """A table to make.

    Attributes:
      name: of its files in results/.
      title: of its picture.
      conditions: {name: {dotted name of a field: value}}.
      arms: {name: {dotted name of a field: value}}, to be compared within each condition.
      base: the arm that the others are compared with.
      paper: {arm: the paper's number}.
      seeds: list of whole numbers.
      rates: list of learning rates.
      keep: whether the runs' files stay.
      same: {(condition, arm): (table, its arm)} of runs that give the same, see `grid.Grid`.
      more_seeds: {condition: list} of seeds besides.
    """

    name: str
    title: str
    conditions: dict
    arms: dict
    base: str
    paper: dict
    seeds: list
    rates: list
    keep: bool = False
    same: dict = {}
    more_seeds: dict = {}

    @property
    def output(self):
        """Path of the tables, without its ending."""
        return OUTPUT.value or f'results/{self.name}'


def conditions(known):
    """Those of the names `known` that --conditions asks for; ValueError for one that is not there.
    """
    chosen = WHICH.value or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f'--conditions: found {unknown[0]}; expected some of {", ".join(known)}.')
    return chosen


def make_grid(study):
    """The `grid.Grid` of a study, as the flags say."""
    return grid.Grid(
        f'{study.output}.csv', RUNS.value or f'runs/{study.name}', study.arms,
        [float(rate) for rate in RATES.value or study.rates],
        [int(seed) for seed in SEEDS.value or study.seeds], study.keep, study.same)


def run(study, config, after=None, more=None):
    """Makes the rows that are missing, table and picture after each condition.

    Args:
      study: a `Study`.
      config: ConfigDict that conditions and arms change.
      after: function of (grid, condition) to call when a condition's runs are there.
      more: function of the grid that gives Markdown to put below the table.

    Returns:
      The `grid.Grid`.

    Raises:
      ValueError: for a condition that there is not.
    """
    found = make_grid(study)
    for condition in conditions(study.conditions):
        arms = {arm: {**study.conditions[condition], **changes}
                for arm, changes in study.arms.items()}
        found.run(condition, arms, config,
                  () if SEEDS.value else study.more_seeds.get(condition, ()))
        if after is not None:
            after(found, condition)
        text = table(found, study) + (more(found) if more else '')
        files.write_text(pathlib.Path(f'{study.output}.md'), text)
        drawing = picture.draw(found, study)
        if drawing:
            files.write_text(pathlib.Path(f'{study.output}.svg'), drawing)
        print(text)
    return found


def table(found, study):
    """Markdown of a `grid.Grid`: a row a condition and arm; what was not run says so."""
    paper = bool(study.paper)
    lines = ['| data | arm | learning rate | mean top-1 error, test | head | medium '
             f'| tail | − {study.base}, 95 % interval | relative |'
             + (' paper, AliProducts |' if paper else ''),
             '|---|---|' + '---:|' * (7 + paper)]
    for condition in study.conditions:
        base = found.errors(condition, study.base)
        for arm in study.arms:
            cells = [condition, arm, *_cells(found, condition, arm, base, arm == study.base)]
            if paper:
                cells.append(f'{study.paper[arm]:.4f}' if arm in study.paper else '')
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def relative(errors, base):
    """'−8.0 %': mean of errors against that of the base, over the seeds of both; '' of none."""
    pairs = [seed for seed in errors if seed in base]
    if not pairs:
        return ''
    ours, theirs = (statistics.mean(values[seed] for seed in pairs) for values in (errors, base))
    return f'{100 * (ours / theirs - 1):+.1f} %'


def _cells(found, condition, arm, base, is_base):
    errors, rate = found.errors(condition, arm), found.chosen(condition, arm)
    groups = [found.errors(condition, arm, f'{group}_error') for group in
              ('head', 'medium', 'tail')]
    return ['–' if rate is None else f'{rate:g}', grid.summary(errors),
            *(f'{statistics.mean(group.values()):.4f}' if group else '' for group in groups),
            *(['', ''] if is_base else [grid.difference(errors, base), relative(errors, base)])]
