"""Are wrong labels found, and does cleaning help? Fashion-MNIST with labels made wrong on purpose.

    python -m experiments.label_noise [--conditions=symmetric30] [--losses=bsce] [--seeds=0,1,2]

Each row is a run of --mode=clean_train with one audit: a condition of the data, a loss and a seed.
It has the average precision of the scores of all images, precision and recall of the list of wrong
labels, and the shares of wrong and of right labels that cleaning dropped; in total and by size of
the given class (head, medium, tail: a third of the classes each); and the mean top-1 error on the
clean test set before and after cleaning. Goes on where it was stopped. Writes
results/label_noise.csv and .md.
"""

import pathlib
import shutil
import time

import numpy as np
from absl import app, flags

from bsce_tf import files, metrics
from bsce_tf.audit import audit, rounds
from configs import fashion_mnist
from experiments import intervals, rows, study, truth
from experiments.provenance import provenance

KEY = ('condition', 'loss', 'seed')
CONDITIONS = {
    'symmetric20': {'data.imbalance': 50.0, 'data.noise': 0.2},
    'symmetric30': {'data.imbalance': 50.0, 'data.noise': 0.3},
    'symmetric40': {'data.imbalance': 50.0, 'data.noise': 0.4},
    'asymmetric20': {'data.imbalance': 20.0, 'data.noise': 0.2, 'data.noise_kind': 'asymmetric'},
}
LOSSES = ('ce', 'bsce')
GROUPS = ('total', 'head', 'medium', 'tail')
WITH = flags.DEFINE_list('losses', list(LOSSES), 'To train with.')
FOLDS = flags.DEFINE_integer('folds', 5, 'audit.folds.', 2)
EPOCHS = flags.DEFINE_integer('epochs', 0, 'Of every training; 0: those of the config.', 0)
MEASURES = ('average_precision', 'precision', 'recall', 'wrong_dropped', 'right_dropped')


def run(config, output, runs, conditions, losses, seeds):
    """Makes the rows that are missing, and the table of all that there are after each.

    Args:
      config: ConfigDict that conditions and losses change.
      output: path without its ending.
      runs: folder.
      conditions: {name: {dotted name of a field: value}}.
      losses: names.
      seeds: list of whole numbers.
    """
    table, runs = pathlib.Path(f'{output}.csv'), pathlib.Path(runs)
    for seed in seeds:  # seed by seed, so that a stop leaves pairs
        for condition, changes in conditions.items():
            for loss in losses:
                key = (condition, loss, str(seed))
                if key in rows.read(table, KEY):
                    continue
                settings = config.copy_and_resolve_references()
                settings.update_from_flattened_dict({**changes, 'seed': seed, 'loss.name': loss})
                folder = runs.joinpath(*key)
                row = {**dict(zip(KEY, key, strict=True)), **_row(settings, folder)}
                found = rows.add(table, KEY, row, runs / '.lock')
                files.write_text(table.with_suffix('.md'), markdown(found))
                shutil.rmtree(folder)
    print(markdown(rows.read(table, KEY)))


def measures(scores, listed, dropped, labels, true):
    """{'<measure>_<group>': value} of `MEASURES` and `GROUPS`; NaN where undefined.

    Args:
      scores: float `[N]`, low for wrong labels.
      listed: bool `[N]`, what the list of wrong labels holds.
      dropped: bool `[N]`.
      labels: int `[N]`, given.
      true: int `[N]`.
    """
    groups = metrics.class_groups(np.bincount(labels))
    chosen = {'total': np.ones(len(labels), bool),
              **{name: np.isin(labels, ids) for name, ids in groups.items()}}
    wrong, found = labels != true, {}
    for name, of in chosen.items():
        found[f'average_precision_{name}'] = average_precision(wrong[of], scores[of])
        found[f'precision_{name}'] = _share(wrong[of & listed])
        found[f'recall_{name}'] = _share(listed[of & wrong])
        found[f'wrong_dropped_{name}'] = _share(dropped[of & wrong])
        found[f'right_dropped_{name}'] = _share(dropped[of & ~wrong])
    return found


def average_precision(wrong, scores):
    """Σ (recall − recall before) · precision over the images by rising score, ties together.

    Args:
      wrong: bool `[n]`.
      scores: float `[n]`, low where wrong; NaN counts as the highest.
    """
    if not wrong.any():
        return float('nan')
    scores = np.nan_to_num(scores, nan=np.inf)
    order = np.argsort(scores, kind='stable')
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of equal scores
    hits = np.cumsum(wrong[order])[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / wrong.sum())


def markdown(found):
    """A row a condition and loss: means over the seeds, with their standard deviation."""
    lines = ['Means over seeds ± standard deviation (number of seeds). Total: all images; tail: '
             'those whose given class is among the third of the classes with the fewest images.',
             '', '| data | loss | wrong labels | estimated | average precision | tail | precision '
             '| recall | tail, recall | wrong labels dropped | right labels dropped: head '
             '| medium | tail | mean top-1 error before | after |',
             '|---|---|' + '---:|' * 13]
    columns = ('noise', 'estimated_noise', 'average_precision_total', 'average_precision_tail',
               'precision_total', 'recall_total', 'recall_tail', 'wrong_dropped_total',
               'right_dropped_head', 'right_dropped_medium', 'right_dropped_tail', 'error_before',
               'error_after')
    for condition in CONDITIONS:
        for loss in LOSSES:
            mine = [row for key, row in found.items() if key[:2] == (condition, loss)]
            cells = [intervals.summary({row['seed']: float(row[name]) for row in mine})
                     for name in columns]
            lines.append(f'| {condition} | {loss} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _row(config, folder):
    found = truth.load(config)
    train, true = found.data.train, found.train
    begin = time.perf_counter()
    plain, cleaned = rounds.clean_train(config, folder)[:2]
    seconds = time.perf_counter() - begin
    with np.load(folder / 'round-1' / 'audit' / audit.SCORES) as scores:
        found = measures(scores['score'], scores['listed'], scores['dropped'], scores['given'],
                         true)
    return {**{name: round(value, 6) for name, value in found.items()},
            'noise': float((train.labels != true).mean()),
            'estimated_noise': float('nan') if cleaned['noise'] is None else cleaned['noise'],
            'error_before': plain['mean_top1_error'], 'error_after': cleaned['mean_top1_error'],
            **{f'{group}_error_{when}': row[f'{group}_error']
               for when, row in (('before', plain), ('after', cleaned))
               for group in GROUPS[1:]},
            'images': len(train), 'folds': config.audit.folds, 'score': config.audit.score,
            'rule': config.audit.rule, 'below': config.audit.threshold_factor,
            'epochs': config.epochs,
            'seconds': round(seconds, 1), **provenance()}


def _share(marks):
    return float(marks.mean()) if marks.size else float('nan')


def main(_):
    """Runs what the flags name."""
    config = fashion_mnist.get_config()
    config.audit.folds, config.audit.rounds = FOLDS.value, 1
    config.audit.duplicate_similarity = 0.0
    config.epochs = EPOCHS.value or config.epochs
    run(config, study.OUTPUT.value or 'results/label_noise', study.RUNS.value or 'runs/label_noise',
        {name: CONDITIONS[name] for name in study.conditions(CONDITIONS)}, WITH.value,
        [int(seed) for seed in study.SEEDS.value or (0, 1, 2)])


if __name__ == '__main__':
    app.run(main)
