"""What a few right labels of each class are worth to choose the learning rate and the epoch by.

    nice -n 15 .venv/bin/python -m experiments.trusted --processes=2

The validation set has wrong labels, as training has. Here 1, 2 or 5 of its images of each class
get their right labels, as after a review (`data.trusted`). Each set chooses, of a seed's runs at
all rates, the rate and the epoch where its error is smallest; of equal errors the earlier epoch,
then the lower rate. What counts is the test error there. Beside them: all of validation with the
given labels, and with the right ones, which no one has. Fashion-MNIST with 40 % wrong labels, with
the settings of `experiments.losses`, and with a constant rate for twice as many epochs, which
learns wrong labels by heart in the end. Deterministic. Writes results/trusted.csv, .md and .svg.
"""

import numpy as np
from absl import app

from experiments import epochs, intervals, losses, study

COUNTS = 1, 2, 5  # right labels of a class
CONDITIONS = {
    'fashion40': losses.CONDITIONS['fashion40'],
    'fashion40, constant rate': {**losses.CONDITIONS['fashion40'], 'schedule.name': 'constant',
                                 'epochs': 16},
}
ARMS = {name: losses.ARMS[name] for name in ('ce', 'alpha_04')}
CHOICES = {'noisy': 'all of validation, given labels',
           **{f'trusted{count}': f'{count} a class, right labels' for count in COUNTS},
           'clean': 'all of validation, right labels'}


def watched(config):
    """As `epochs.watched`, and the sets of a few right labels; each holds the smaller ones."""
    data, sets = epochs.watched(config)
    clean = sets['clean']
    order = np.random.default_rng([config.seed, 5]).permutation(len(clean))
    for count in COUNTS:
        places = [order[clean.labels[order] == label][:count]
                  for label in range(clean.num_classes)]
        sets[f'trusted{count}'] = clean.subset(np.sort(np.concatenate(places)))
    return data, sets


STUDY = study.Study('trusted', 'Fashion-MNIST, 40 % wrong labels', CONDITIONS, ARMS, 'ce', {},
                    seeds=[0, 1, 2], rates=[0.1, 0.3], margin=float('inf'), watched=watched)


def chosen(found, condition, arm, by):
    """{seed: test error} at the rate and the epoch that a set chooses.

    Args:
      found: `grid.Grid`.
      condition, arm: names.
      by: name of the set, of `CHOICES`.
    """
    result = {}
    for seed in found.common_seeds(condition, arm):
        rows = [found.rows[condition, arm, f'{rate:g}', seed] for rate in sorted(found.rates)]
        runs = [epochs.errors(row) for row in rows if row['split'] != 'diverged']
        if not runs:
            continue
        _, epoch, run = min((error, epoch, run) for run, errors in enumerate(runs)
                            for epoch, error in enumerate(errors[f'raw {by}']))
        result[int(seed)] = float(runs[run]['raw test'][epoch])
    return result


def choices(found):
    """Markdown: what each set's choice gives, and minus that of the given labels."""
    lines = ['', '| data | loss | chosen by | mean top-1 error, test '
             '| − given labels, 95 % interval |', '|---|---|---|---:|---:|']
    every = {by: {} for by in CHOICES}
    for condition in CONDITIONS:
        for arm in ARMS:
            errors = {by: chosen(found, condition, arm, by) for by in CHOICES}
            lines += _lines(condition, arm, errors)
            for by in CHOICES:
                every[by].update({(condition, arm, seed): error
                                  for seed, error in errors[by].items()})
    means = {by: intervals.over_shared(found) for by, found in every.items()}
    return '\n'.join([*lines, *_lines('all', 'both', means)]) + '\n'


def _lines(condition, arm, errors):
    for by, told in CHOICES.items():
        if errors[by]:
            against = '' if by == 'noisy' else intervals.difference(errors[by], errors['noisy'])
            yield (f'| {condition} | {arm} | {told} | {intervals.summary(errors[by])} '
                   f'| {against} |')


def main(_):
    """Runs what the flags name."""
    study.run(STUDY, losses.get_config(), more=choices)


if __name__ == '__main__':
    app.run(main)
