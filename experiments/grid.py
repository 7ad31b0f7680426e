"""Arms × seeds of a config, each run a row of a CSV file; what is there is not run again."""

import json
import pathlib
import resource
import shutil
import statistics
import time

import keras

from bsce_tf.errors import RunError
from bsce_tf.evaluation import evaluate, tables
from bsce_tf.training import train, workdir
from experiments import epochs, rows
from experiments.provenance import commit, provenance

KEY = ('condition', 'arm', 'learning_rate', 'seed')
NO_RATE = '-'  # of votes
_NOT_FINITE = 'loss: found', 'weights: found'  # how the error of a run that diverged begins
_DIVERGED = {'split': 'diverged', **dict.fromkeys(tables.COLUMNS, 1.0)}


class Grid:
    """Runs, and the table of them.

    Every arm is trained with the first seed at each of the same learning rates. Those whose
    validation error is at most `margin` (a share) above the arm's best go on to the other seeds,
    and the one with the smallest mean over the seeds is taken. The validation set has wrong labels
    as the training set has. Every run is evaluated on the test set once, chosen or not, and no
    choice looks at that. A run that diverges counts as wrong throughout. Several processes on one
    machine may fill one file: each takes a run that is not there and that no other is making, and
    goes on with one that was stopped.

    Args:
      output: CSV file of the rows.
      runs: folder for the runs' files; a run is deleted there when its row is written.
      arms: their names.
      rates: learning rates to choose from.
      seeds: for each chosen arm; the first one tries all rates.
      keep: whether the runs' files stay.
      same: {(condition, arm): (name of a table beside `output`, its arm)} of runs that give the
        same: a row that is there is taken from there.
      margin: ≥ 0; with 0 only the best rate of the first seed goes on.
      watched: function of a run's config that gives its data and the sets whose errors after every
        epoch its row has, see `epochs.watched`; None: none.
    """

    def __init__(self, output, runs, arms, rates, seeds, keep=False, same=None, margin=0.0,
                 watched=None):
        self.output, self.runs, self.arms = pathlib.Path(output), pathlib.Path(runs), list(arms)
        self.rates, self.seeds, self.keep, self.same = rates, seeds, keep, same or {}
        self.margin, self.watched, self.made = margin, watched, 0
        self.commit = commit()
        self.rows = rows.read(self.output, KEY)

    def run(self, condition, arms, config, more_seeds=()):
        """Makes the rows that a condition lacks and that no other process is making.

        Args:
          condition: name.
          arms: {name: {dotted name of a field: value}}.
          config: ConfigDict that the arms change.
          more_seeds: besides those of all conditions.

        Returns:
          Whether all rows are there.
        """
        while True:
            self.rows = rows.read(self.output, KEY)
            missing, known = self._missing(condition, arms, more_seeds)
            if not any(self._row(condition, arm, arms[arm], config, rate, seed)
                       for arm, rate, seed in missing):
                return known and not missing

    def _missing(self, condition, arms, more_seeds):
        """([(arm, rate, seed)] to make, whether these are all that will be)."""
        wanted = [(arm, rate, self.seeds[0]) for rate in self.rates for arm in arms]
        known = True
        for seed in (*self.seeds[1:], *more_seeds):  # seed by seed, so that a stop leaves pairs
            for arm in arms:
                rates = self.contenders(condition, arm)
                wanted += [(arm, rate, seed) for rate in rates]
                known &= bool(rates)
        keys = [(condition, arm, f'{rate:g}', str(seed)) for arm, rate, seed in wanted]
        return [run for run, key in zip(wanted, keys, strict=True)
                if key not in self.rows and not self._taken(key)], known

    def contenders(self, condition, arm):
        """The learning rates that may be an arm's best; [] until the first seed has tried all."""
        errors = {rate: self._validation(condition, arm, rate, self.seeds[0])
                  for rate in self.rates}
        if None in errors.values():
            return []
        best = min(errors, key=errors.get)
        return [rate for rate in self.rates if rate == best or (
            self.margin and errors[rate] <= (1 + self.margin) * errors[best])]

    def common_seeds(self, condition, arm):
        """The seeds that all contenders were run with."""
        rates = self.contenders(condition, arm)
        seeds = {key[-1] for key in self.rows if key[:2] == (condition, arm)} if rates else ()
        return sorted((seed for seed in seeds if all(
            (condition, arm, f'{rate:g}', seed) in self.rows for rate in rates)), key=int)

    def chosen(self, condition, arm, error=None):
        """The learning rate of an arm; None until the first seed has tried all.

        Args:
          condition, arm: names.
          error: function of a row that is to be smallest; None: its validation error.
        """
        error = error or (lambda row: float(row['validation_error']))
        seeds = self.common_seeds(condition, arm)
        return min(self.contenders(condition, arm), default=None, key=lambda rate: statistics.mean(
            error(self.rows[condition, arm, f'{rate:g}', seed]) for seed in seeds))

    def _validation(self, condition, arm, rate, seed):
        row = self.rows.get((condition, arm, f'{rate:g}', str(seed)))
        return float(row['validation_error']) if row else None

    def rows_of(self, condition, arm):
        """{seed: row} of an arm at its chosen rate, of the seeds by which it was chosen.

        Empty while there is none.
        """
        rate = self.chosen(condition, arm)
        if rate is None:  # votes
            seeds = [key[-1] for key in self.rows if key[:-1] == (condition, arm, NO_RATE)]
        else:
            seeds = self.common_seeds(condition, arm)
        wanted = condition, arm, NO_RATE if rate is None else f'{rate:g}'
        return {int(seed): self.rows[*wanted, seed] for seed in sorted(seeds, key=int)}

    def errors(self, condition, arm, column='mean_top1_error'):
        """{seed: test error} of an arm at its chosen rate."""
        return {seed: float(row[column]) for seed, row in self.rows_of(condition, arm).items()}

    def folder(self, condition, arm, seed):
        """Where the run of an arm at its chosen rate is, or was."""
        return self._place((condition, arm, f'{self.chosen(condition, arm):g}', str(seed)))

    def _place(self, key):
        return self.runs.joinpath(*(part.replace(',', '') for part in key))  # evaluate splits at ,

    def _row(self, condition, arm, changes, config, rate, seed):
        """Whether the row was made by now: by this call, or before it by another process."""
        key = (condition, arm, f'{rate:g}', str(seed))
        with rows.claimed(self.runs / 'locks' / f'{"_".join(key)}') as mine:
            if mine and key not in rows.read(self.output, KEY):
                self._make(key, changes, config, rate, seed)
            return mine

    def _make(self, key, changes, config, rate, seed):
        settings = config.copy_and_resolve_references()
        settings.update_from_flattened_dict(
            {**changes, 'seed': seed, 'optimizer.learning_rate': rate})
        folder, begin = self._place(key), time.perf_counter()
        keras.backend.clear_session()
        watched = self.watched(settings) if self.watched else ()
        try:
            train.train(settings, folder, *watched)
        except RunError as error:
            if not str(error).startswith(_NOT_FINITE):
                raise
            print(f'{folder}: {error}', flush=True)
            result, best, scales, more = _DIVERGED, 1.0, {}, epochs.DIVERGED
        else:
            result = evaluate.evaluate(settings, folder)
            best = json.loads((folder / workdir.BEST).read_text())[result['kind']]['error']
            scales, more = result['scales'], epochs.of(folder)
        self._add(key, result['split'], best, result, scales, settings.epochs,
                  time.perf_counter() - begin, more if self.watched else ())
        self.made += 1
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

    def _add(self, key, split, validation_error, result, by_scale, passes, seconds, more=()):
        self._write({
            **dict(zip(KEY, key, strict=True)), 'split': split,
            'validation_error': validation_error,
            **{name: result[name] for name in tables.COLUMNS},
            'by_scale': json.dumps({scale: round(found['mean_top1_error'], 6)
                                    for scale, found in by_scale.items()}),
            **dict(more), 'epochs': passes, 'seconds': round(seconds, 1),
            'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **provenance(self.commit)})

    def _write(self, row):
        self.runs.mkdir(parents=True, exist_ok=True)
        self.rows = rows.add(self.output, KEY, row, self.runs / '.lock')
