"""What choosing the best epoch under wrong validation labels costs, from the runs of the losses.

    python -m experiments.selection

Every run of `experiments.losses` notes its errors after every epoch on three sets: validation with
the given labels, validation with the right ones, and test. So each rule's choice can be looked up
afterwards. All runs at the rate that their loss had chosen are shown, with the mean of the paired
differences to today's rule and its 95 % interval over seeds: runs of a seed with the same images
share them, so their mean counts once. Writes results/selection.md.
"""

import pathlib
import statistics

from absl import app

from bsce_tf import files
from experiments import epochs, intervals, losses, study

OUTPUT = 'results/selection.md'
RULES = {  # name: (kind of weights, what chooses the epoch)
    'best epoch on noisy validation': ('raw', 'noisy'),
    'last epoch': ('raw', 'last'),
    'EMA, best epoch on noisy validation': ('ema', 'noisy'),
    'EMA, last epoch': ('ema', 'last'),
    'SWA of the last epochs': ('swa', 'last'),
    'oracle: best epoch on clean validation': ('raw', 'clean'),
    'oracle, EMA': ('ema', 'clean'),
}
BASE = 'best epoch on noisy validation'


def errors(found, made):
    """{condition: {rule: {(condition, arm, seed): test error}}}, all at their chosen rates."""
    result = {}
    for condition in made.conditions:
        runs = {(condition, arm, seed): row for arm in made.arms
                for seed, row in found.rows_of(condition, arm).items()
                if row['split'] != 'diverged'}
        if runs:
            result[condition] = {rule: {key: epochs.chosen_error(row, *how)
                                        for key, row in runs.items()}
                                 for rule, how in RULES.items()}
    return result


def table(grid, made):
    """Markdown: a row a condition and rule, and the same over all runs."""
    def images(key):
        fields = made.conditions[key[0]]
        return fields.get('data.source'), fields.get('data.root')

    parts = errors(grid, made)
    if parts:
        parts['all'] = {rule: {key: error for rules in parts.values()
                               for key, error in rules[rule].items()} for rule in RULES}
    lines = ['| data | rule | runs | mean top-1 error, test | − the first, 95 % interval |',
             '|---|---|---:|---:|---:|']
    for name, rules in parts.items():
        base = intervals.over_shared(rules[BASE], images)
        for rule, values in rules.items():
            found = intervals.over_shared(values, images)
            against = '' if rule == BASE else intervals.difference(found, base)
            lines.append(f'| {name} | {rule} | {len(values)} '
                         f'| {statistics.mean(found.values()):.4f} | {against} |')
    return '\n'.join(lines) + '\n'


def main(_):
    """Reads what there is of the losses' table and writes this one."""
    text = table(study.make_grid(losses.STUDY), losses.STUDY)
    files.write_text(pathlib.Path(OUTPUT), text)
    print(text)


if __name__ == '__main__':
    app.run(main)
