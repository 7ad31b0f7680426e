"""Arms × seeds of a config, each run a row of a CSV file; what is there is not run again."""

import json
import pathlib
import resource
import shutil
import statistics
import time

import keras
from scipy import stats

from bsce_tf.evaluation import evaluate, tables
from bsce_tf.training import train, workdir
from experiments import rows
from experiments.provenance import provenance

KEY = ('condition', 'arm', 'learning_rate', 'seed')
NO_RATE = '-'  # of votes


class Grid:
    """Runs, and the table of them.

    Every arm may choose from the same learning rates: all are trained with the first seed, and the
    one with the smallest error on the validation set, which is a part of the noisy training set, is
    taken for all seeds. Every run is evaluated on the test set once, chosen or not, and no choice
    looks at that. Several processes on one machine may fill one file, each other conditions.

    Args:
      output: CSV file of the rows.
      runs: folder for the runs' files; a run is deleted there when its row is written.
      arms: their names.
      rates: learning rates to choose from; of several, one that not all arms have tried is none
        of them.
      seeds: for each chosen arm; the first one also chooses.
      keep: whether the runs' files stay.
      same: {(condition, arm): (name of a table beside `output`, its arm)} of runs that give the
        same: a row that is there is taken from there.
    """

    def __init__(self, output, runs, arms, rates, seeds, keep=False, same=None):
        """See the class."""
        self.output, self.runs, self.arms = pathlib.Path(output), pathlib.Path(runs), list(arms)
        self.rates, self.seeds, self.keep, self.same = rates, seeds, keep, same or {}
        self.rows = rows.read(self.output, KEY)

    def run(self, condition, arms, config, more_seeds=()):
        """Makes the rows that a condition lacks.

        Args:
          condition: name.
          arms: {name: {dotted name of a field: value}}.
          config: ConfigDict that the arms change.
          more_seeds: besides those of all conditions.
        """
        for arm, changes in arms.items():
            for rate in self.rates:
                self._row(condition, arm, changes, config, rate, self.seeds[0])
        for seed in (*self.seeds[1:], *more_seeds):  # seed by seed, so that a stop leaves pairs
            for arm, changes in arms.items():
                self._row(condition, arm, changes, config, self.chosen(condition, arm), seed)

    def chosen(self, condition, arm):
        """The learning rate of an arm, or None while there is none that all arms have tried.

        Where there is one rate there is no choice that the others would have to have, too.
        """
        others = self.arms if len(self.rates) > 1 else ()
        tried = [rate for rate in self.rates
                 if all(self._first(condition, other, rate) for other in (*others, arm))]
        return min(tried, default=None, key=lambda rate: float(
            self._first(condition, arm, rate)['validation_error']))

    def _first(self, condition, arm, rate):
        return self.rows.get((condition, arm, f'{rate:g}', str(self.seeds[0])))

    def rows_of(self, condition, arm):
        """{seed: row}, all that there are, of an arm at its chosen rate.

        Empty while there is none.
        """
        rate = self.chosen(condition, arm)
        wanted = condition, arm, NO_RATE if rate is None else f'{rate:g}'
        found = {int(key[-1]): row for key, row in self.rows.items() if key[:-1] == wanted}
        return dict(sorted(found.items()))

    def errors(self, condition, arm, column='mean_top1_error'):
        """{seed: test error} of an arm at its chosen rate."""
        return {seed: float(row[column]) for seed, row in self.rows_of(condition, arm).items()}

    def folder(self, condition, arm, seed):
        """Where the run of an arm at its chosen rate is, or was."""
        return self._place((condition, arm, f'{self.chosen(condition, arm):g}', str(seed)))

    def _place(self, key):
        return self.runs.joinpath(*(part.replace(',', '') for part in key))  # evaluate splits at ,

    def _row(self, condition, arm, changes, config, rate, seed):
        key = (condition, arm, f'{rate:g}', str(seed))
        if key in self.rows or self._taken(key):
            return
        settings = config.copy_and_resolve_references()
        settings.update_from_flattened_dict(
            {**changes, 'seed': seed, 'optimizer.learning_rate': rate})
        folder, begin = self._place(key), time.perf_counter()
        keras.backend.clear_session()
        train.train(settings, folder)
        seconds = time.perf_counter() - begin
        result = evaluate.evaluate(settings, folder)
        best = json.loads((folder / workdir.BEST).read_text())
        self._add(key, result['split'], best[result['kind']]['error'], result, result['scales'],
                  settings.epochs, seconds)
        if not self.keep:
            shutil.rmtree(folder)

    def _taken(self, key):
        condition, arm, *rest = key
        if (condition, arm) not in self.same:
            return False
        table, other = self.same[condition, arm]
        row = rows.read(self.output.with_name(f'{table}.csv'), KEY).get((condition, other, *rest))
        if row:
            self._write({**row, 'arm': arm})
        return bool(row)

    def vote(self, condition, name, arms, config):
        """Makes the rows of an arm that is the top-1 vote of others, whose runs were kept.

        Every model votes with the features of all test scales averaged (the paper's Table 4).

        Args:
          condition: name, of which `run` made the rows.
          name: of the new arm, which has no learning rate of its own.
          arms: names of arms.
          config: ConfigDict with the condition's data.
        """
        for seed in self.seeds:
            key = (condition, name, NO_RATE, str(seed))
            if key in self.rows or None in [self.chosen(condition, arm) for arm in arms]:
                continue
            folders = [self.folder(condition, arm, seed) for arm in arms]
            if not all(folder.exists() for folder in folders):
                continue
            settings, begin = config.copy_and_resolve_references(), time.perf_counter()
            settings.evaluate.output = str(self.runs / 'vote' / str(seed))
            keras.backend.clear_session()
            found = evaluate.evaluate(settings, ','.join(map(str, folders)))
            parts = {'vote': found['vote'], 'mean': found['mean'],
                     **dict(zip(arms, found['models'], strict=True))}
            self._add(key, found['split'], '', found['vote'], parts, 0,
                      time.perf_counter() - begin)

    def _add(self, key, split, validation_error, result, by_scale, epochs, seconds):
        self._write({
            **dict(zip(KEY, key, strict=True)), 'split': split,
            'validation_error': validation_error,
            **{name: result[name] for name in tables.COLUMNS},
            'by_scale': json.dumps({scale: round(found['mean_top1_error'], 6)
                                    for scale, found in by_scale.items()}),
            'epochs': epochs, 'seconds': round(seconds, 1),
            'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, **provenance()})

    def _write(self, row):
        self.runs.mkdir(parents=True, exist_ok=True)
        self.rows = rows.add(self.output, KEY, row, self.runs / '.lock')


def summary(errors):
    """'mean ± standard deviation (n)' of {seed: error}; 'not run' of none."""
    values = list(errors.values())
    if not values:
        return 'not run'
    spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.4f}{spread} ({len(values)})'


def difference(errors, others):
    """Mean of errors − others over the seeds of both, with its 95 % interval (Student's t)."""
    pairs = [errors[seed] - others[seed] for seed in errors if seed in others]
    if not pairs:
        return 'not run'
    mean = statistics.mean(pairs)
    if len(pairs) == 1:
        return f'{mean:+.4f} (1)'
    half = stats.t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return f'{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]'
