"""Does it pay to look at labels, and in which order? The right labels play the reviewer.

    nice -n 15 .venv/bin/python -m experiments.looks --processes=2

For each condition and seed one audit, then runs on the training set of which the first n images
have been looked at: each has its right label, all others the given one. The orders:

* gain: `review.order=gain`, the list of `bsce review`; then the other images by the audit's score;
* cleanlab: that of `cleanlab.filter.find_label_issues`, ranked by self-confidence, made of the same
  predictions; then the other images by their self-confidence;
* random.

Network, steps and learning rate are those of `experiments.losses`, the loss is bsce_many with α =
0.4; validation labels stay as wrong as they are. Deterministic. Goes on where it was stopped.
Writes results/looks.csv, .md and looks_CONDITION.svg.
"""

import pathlib
import shutil
import time

import keras
import numpy as np
from absl import app

from bsce_tf import files
from bsce_tf.audit import audit
from bsce_tf.data import clean_list
from bsce_tf.evaluation import evaluate
from bsce_tf.review import best, catalogue
from bsce_tf.training import train
from experiments import drawings, intervals, losses, picture, processes, rows, study, truth
from experiments.provenance import provenance

KEY = ('condition', 'order', 'looks', 'seed')
ORDERS, LOOKS = ('gain', 'random', 'cleanlab'), (500, 2000, 100, 5000)  # what matters most first
CONDITIONS = {
    'fashion30-proportional': losses.condition('fashion', 0.3, 125, **losses.FASHION),
    'fashion30-uniform': losses.condition('fashion', 0.3, 125, **losses.FASHION,
                                           **{'data.noise_kind': 'symmetric'}),
    'drawings1000-30': losses.CONDITIONS['drawings1000-30'],
}
COLOURS = {'gain': '#2563eb', 'random': '#888888', 'cleanlab': '#d97706'}
NONE = '-', '0'  # order and number of the run in which nobody looked
COMPARED = [(ours, NONE) for ours in (('gain', 500), ('gain', 2000), ('gain', 5000),
                                      ('random', 5000))] + [
    (('gain', 500), ('random', 2000)), (('gain', 2000), ('random', 2000)),
    (('gain', 500), ('cleanlab', 500)), (('gain', 2000), ('cleanlab', 2000))]
_WAIT = 20  # seconds, for other processes


def plan(seeds, conditions):
    """[(condition, order, looks, seed)], a seed after the other, so that a stop leaves pairs."""
    runs = [NONE] + [(order, str(looks)) for looks in LOOKS for order in ORDERS]
    return [(condition, *run, str(seed)) for seed in seeds for condition in conditions
            for run in runs]


def arrangement(name, folder, seed):
    """int64 `[N]`: all training images in an order to look at them.

    Args:
      name: one of `ORDERS`.
      folder: pathlib.Path of the audit.
      seed: of the random order.
    """
    found = catalogue.read(folder, 'gain')
    count = len(found.train)
    if name == 'random':
        return np.random.default_rng([seed, 4]).permutation(count)
    if name == 'gain':
        first, scores = found.lists[catalogue.ISSUES], found.scores
    else:
        from cleanlab import filter as cleanlab
        probabilities = dense(folder, found)
        scores = probabilities[np.arange(count), found.train.labels]
        first = cleanlab.find_label_issues(
            found.train.labels, probabilities, return_indices_ranked_by='self_confidence', n_jobs=1)
    rest = np.argsort(np.nan_to_num(scores, nan=np.inf), kind='stable')
    return np.concatenate([first, rest[~np.isin(rest, first)]])


def dense(folder, found):
    """float32 `[N, K]`: what the audit's networks predicted; the rest of each row, evenly."""
    size = found.train.num_classes
    classes, probabilities = best.read(found.config, folder, found.train, size)
    known = (classes >= 0).all(1)
    filled = np.zeros((len(classes), size), np.float32)
    kept = classes.shape[1]
    if kept < size:
        filled[:] = np.maximum(1 - probabilities.sum(1, keepdims=True), 0) / (size - kept)
    rows_known = np.flatnonzero(known)[:, None]
    filled[rows_known, classes[known]] = probabilities[known]
    filled[~known] = 1 / size
    return filled / filled.sum(1, keepdims=True)


def run(wanted, output, runs):
    """Makes the rows that are missing and that no other process is making; whether all are there.

    Args:
      wanted: of `plan`.
      output: CSV file.
      runs: pathlib.Path of the folder for files of runs.
    """
    for key in wanted:
        with rows.claimed(runs / 'locks' / '_'.join(key)) as mine:
            if mine and key not in rows.read(output, KEY):
                _make(key, output, runs)
    return all(key in rows.read(output, KEY) for key in wanted)


def _make(key, output, runs):
    condition, order, looks, seed = key
    config = settings(condition, int(seed))
    folder = runs / '_'.join(key)
    audited = runs / f'audit_{condition}_{seed}'
    keras.backend.clear_session()
    found, begin = 0, time.perf_counter()
    told = truth.load(config)
    labels = np.array(told.data.train.labels)
    if (order, looks) != NONE:
        with rows.locked(runs / 'locks' / audited.name):
            if not (audited / audit.SUMMARY).exists():
                audit.audit(config, audited)
        chosen = arrangement(order, audited, int(seed))[:int(looks)]
        found = int((labels[chosen] != told.train[chosen]).sum())
        labels[chosen] = told.train[chosen]
        config.data.clean = str(folder) + '.csv'
        folder.parent.mkdir(parents=True, exist_ok=True)
        clean_list.write_audited(pathlib.Path(config.data.clean), told.data.train,
                                 np.arange(len(labels)), labels)
    train.train(config, folder)
    result = evaluate.evaluate(config, folder)
    rows.add(output, KEY, {
        **dict(zip(KEY, key, strict=True)),
        **{name: result[name] for name in ('mean_top1_error', 'top1_error', 'head_error',
                                           'medium_error', 'tail_error')},
        'found_wrong': found, 'wrong_left': round(float((labels != told.train).mean()), 6),
        'images': len(labels),
        'seconds': round(time.perf_counter() - begin, 1), **provenance()}, runs / '.lock')
    shutil.rmtree(folder)


def settings(condition, seed):
    """ConfigDict of a condition and seed."""
    config = losses.get_config()
    config.update_from_flattened_dict({
        **CONDITIONS[condition], 'seed': seed, **losses.ARMS['alpha_04'],
        'optimizer.learning_rate': 0.3, 'audit.duplicate_similarity': 0.0})
    return config


def errors(found, condition, order, looks):
    """{seed: mean top-1 error}."""
    return {int(key[3]): float(row['mean_top1_error']) for key, row in found.items()
            if key[:3] == (condition, order, str(looks))}


def markdown(found):
    """A row for each condition and order; then what few looks are worth beside other ones."""
    lines = ['Mean top-1 error on the clean test set after n images were looked at: mean ± '
             'standard deviation (seeds), and the number of wrong labels that were found.', '',
             '| data | order | 0 | ' + ' | '.join(f'{looks:,}' for looks in sorted(LOOKS)) + ' |',
             '|---|---|' + '---:|' * (len(LOOKS) + 1)]
    for condition in CONDITIONS:
        if not errors(found, condition, *NONE):
            continue
        for order in ORDERS:
            cells = [intervals.summary(errors(found, condition, *NONE))]
            for looks in sorted(LOOKS):
                marks = [int(row['found_wrong']) for key, row in found.items()
                         if key[:3] == (condition, order, str(looks))]
                cells.append(intervals.summary(errors(found, condition, order, looks))
                             + (f' ({np.mean(marks):,.0f})' if marks else ''))
            lines.append(f'| {condition} | {order} | {" | ".join(cells)} |')
    lines += ['', '| data | looks | compared with | difference of the errors, 95 % interval |',
              '|---|---|---|---:|']
    for condition in CONDITIONS:
        for ours, theirs in COMPARED:
            difference = intervals.difference(errors(found, condition, *ours),
                                              errors(found, condition, *theirs))
            if difference != 'not run':
                names = [f'{order}, {int(looks):,}' for order, looks in (ours, theirs)]
                lines.append(f'| {condition} | {names[0]} | {names[1]} | {difference} |'.replace(
                    '-, 0', 'nobody looks'))
    return '\n'.join(lines) + '\n'


def drawing(found, condition):
    """SVG of the errors against the images that were looked at; '' where nothing was run."""
    nobody = list(errors(found, condition, *NONE).values())
    lines = {order: [(looks, list(of.values())) for looks in sorted(LOOKS)
                     if (of := errors(found, condition, order, looks))] for order in ORDERS}
    return picture.curves(
        {order: [(0, nobody), *line] for order, line in lines.items() if nobody and line}, COLOURS,
        f'{condition}: mean top-1 error, test; 95 % intervals', 'images looked at', [0, max(LOOKS)])


def main(_):
    """Runs what the flags name."""
    output = pathlib.Path(study.OUTPUT.value or 'results/looks')
    runs = pathlib.Path(study.RUNS.value or 'runs/looks')
    conditions = study.conditions(CONDITIONS)
    if not study.SHOW.value:
        processes.run(study.PROCESSES.value)
        if 'drawings1000-30' in conditions:
            drawings.write(losses.folder(1000), 1000, losses.LARGEST, losses.SMALLEST,
                           losses.TEST_IMAGES, 0)
        wanted = plan([int(seed) for seed in study.SEEDS.value or (0, 1, 2)], conditions)
        while not run(wanted, output.with_suffix('.csv'), runs):
            time.sleep(_WAIT)
    found = rows.read(output.with_suffix('.csv'), KEY)
    files.write_text(output.with_suffix('.md'), markdown(found))
    for condition in CONDITIONS:
        if made := drawing(found, condition):
            files.write_text(output.with_name(f'{output.name}_{condition}.svg'), made)
    print(markdown(found))


if __name__ == '__main__':
    app.run(main)
