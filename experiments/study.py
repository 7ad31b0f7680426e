"""What the programs of the tables share: flags, the runs of all conditions, table and picture.

Flags: --conditions, --arms and --seeds to run only some, --rates to choose from others, --output
and --runs for other places, --processes for as many runs at once, each on a core of its own with
one thread (two such give twice the runs of one with two threads). A program goes on where it was
stopped, in the middle of a run, too, and a row that is in the CSV file is never run again. With
--show nothing runs.
"""

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

from bsce_tf import files
from experiments import epochs, grid, intervals, picture, processes, truth

WHICH = flags.DEFINE_list('conditions', None, 'Only these conditions.')
ARMS = flags.DEFINE_list('arms', None, 'Only these arms.')
SEEDS = flags.DEFINE_list('seeds', None, 'Of data, weights and crops.')
RATES = flags.DEFINE_list('rates', None, 'Learning rates that each arm may choose from.')
OUTPUT = flags.DEFINE_string('output', None, 'The tables, without .csv and .md.')
RUNS = flags.DEFINE_string('runs', None, 'Folder for the files of runs.')
PROCESSES = flags.DEFINE_integer('processes', 1, 'Runs at once, a core each.', 1)
SHOW = flags.DEFINE_bool('show', False, 'Run nothing: table and picture of the rows there are.')
_WAIT = 20  # seconds, for runs of other processes


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
      plan: [(conditions, arms)] to run, in this order; empty: all arms of all conditions.
      margin: see `grid.Grid`.
      watched: see `grid.Grid`; with it the table has the oracle's error.
      noisy: whether labels are made wrong; the page then tells how many are.
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
    plan: list = []
    margin: float = 0.0
    watched: Callable | None = None
    noisy: bool = True

    @property
    def output(self):
        """Path of the tables, without its ending."""
        return OUTPUT.value or f'results/{self.name}'


def conditions(known):
    """Those of the names `known` that --conditions asks for; ValueError for one that is not there.
    """
    return _some('conditions', WHICH.value, known)


def _some(flag, chosen, known):
    unknown = [name for name in chosen or () if name not in known]
    if unknown:
        raise ValueError(f'--{flag}: found {unknown[0]}; expected some of {", ".join(known)}.')
    return list(chosen or known)


def make_grid(study):
    """The `grid.Grid` of a study, as the flags say."""
    return grid.Grid(
        f'{study.output}.csv', RUNS.value or f'runs/{study.name}', study.arms,
        [float(rate) for rate in RATES.value or study.rates],
        [int(seed) for seed in SEEDS.value or study.seeds], study.keep, study.same, study.margin,
        study.watched)


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
      ValueError: for a condition or an arm that there is not.
    """
    plan = _plan(study)
    processes.run(1 if SHOW.value else PROCESSES.value)
    found, data = make_grid(study), {}
    while True:
        made, complete = found.made, True
        for condition, names in plan:
            arms = {arm: {**study.conditions[condition], **study.arms[arm]} for arm in names}
            before = found.made
            complete &= SHOW.value or found.run(condition, arms, config, () if SEEDS.value else
                                                study.more_seeds.get(condition, ()))
            if after is not None:
                after(found, condition)
            if found.made > before or condition not in data:
                data[condition] = _changed(config, study.conditions[condition], found.seeds[0])
                _write(study, found, (truth.table(data) if study.noisy else '') + (
                    more(found) if more else ''))
        if complete:
            print(pathlib.Path(f'{study.output}.md').read_text(encoding='utf-8'))
            return found
        if found.made == made:  # other processes are making the rest
            time.sleep(_WAIT)


def _plan(study):
    """[(condition, arms)] in the order in which to run them."""
    arms, wanted = _some('arms', ARMS.value, study.arms), conditions(study.conditions)
    plan = study.plan or [(list(study.conditions), list(study.arms))]
    return [(condition, names) for group, chosen in plan for condition in group
            if condition in wanted and (names := [arm for arm in chosen if arm in arms])]


def _planned(study, condition):
    """The arms of a condition that are in the plan."""
    wanted = {arm for group, arms in study.plan if condition in group for arm in arms}
    return [arm for arm in study.arms if arm in wanted or not study.plan]


def _changed(config, changes, seed):
    settings = config.copy_and_resolve_references()
    settings.update_from_flattened_dict({**changes, 'seed': seed})
    return settings


def _write(study, found, more):
    files.write_text(pathlib.Path(f'{study.output}.md'), f'{table(found, study)}\n{more}')
    drawing = picture.draw(found, study)
    if drawing:
        files.write_text(pathlib.Path(f'{study.output}.svg'), drawing)


def table(found, study):
    """Markdown of a `grid.Grid`: a row a condition and arm; then what is not known yet."""
    paper = bool(study.paper)
    lines = ['| data | arm | learning rate | mean top-1 error, test | head | medium '
             f'| tail | − {study.base}, 95 % interval | relative |'
             + (' paper, AliProducts |' if paper else '') + (' oracle |' if study.watched else ''),
             '|---|---|' + '---:|' * (7 + paper + bool(study.watched))]
    for condition in study.conditions:
        base = found.errors(condition, study.base)
        for arm in _planned(study, condition):
            if not found.errors(condition, arm):
                continue
            cells = [condition, arm, *_cells(found, condition, arm, base, arm == study.base)]
            if paper:
                cells.append(f'{study.paper[arm]:.4f}' if arm in study.paper else '')
            if study.watched:
                cells.append(intervals.summary(epochs.oracle(found, condition, arm)))
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join([*lines, *_begun(found, study), *_not_run(found, study)]) + '\n'


def _begun(found, study):
    """A table of the runs of arms whose learning rate is not chosen, as not all were tried."""
    lines = []
    for condition in study.conditions:
        for arm in _planned(study, condition):
            if found.chosen(condition, arm) is None:
                lines += [f'| {condition} | {arm} | {key[2]} | {key[3]} '
                          f'| {float(row["validation_error"]):.4f} '
                          f'| {float(row["mean_top1_error"]):.4f} |'
                          for key, row in found.rows.items() if key[:2] == (condition, arm)]
    if not lines:
        return []
    return ['', 'Begun; not all learning rates were tried:', '',
            '| data | arm | learning rate | seed | validation error | mean top-1 error, test |',
            '|---|---|---:|---:|---:|---:|', *lines]


def _not_run(found, study):
    """A line for each condition with the arms that have no run."""
    begun, lines = {key[:2] for key in found.rows}, []
    for condition in study.conditions:
        planned = _planned(study, condition)
        missing = [arm for arm in planned if (condition, arm) not in begun]
        if missing:
            lines.append(f'- {condition}: ' + (
                'no arm' if missing == planned else 'all but ' + ', '.join(missing)))
    return ['', 'Which arms were run:', '', *lines] if lines else []


def against(found, study, arm):
    """Markdown: the error of an arm minus that of each other, with the 95 % interval of pairs."""
    lines = ['', f'| data | {arm} minus | difference, 95 % interval | relative | runs |',
             '|---|---|---:|---:|---:|']
    for condition in study.conditions:
        errors = found.errors(condition, arm)
        for other in _planned(study, condition):
            theirs = found.errors(condition, other)
            pairs = len(errors.keys() & theirs.keys())
            if other != arm and pairs:
                lines.append(f'| {condition} | {other} | {intervals.difference(errors, theirs)} '
                             f'| {relative(errors, theirs)} | {pairs} |')
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
    return ['–' if rate is None else f'{rate:g}', intervals.summary(errors),
            *(f'{statistics.mean(group.values()):.4f}' if group else '' for group in groups),
            *(['', ''] if is_base else [intervals.difference(errors, base),
                                        relative(errors, base)])]
