"""Arms × seeds of a config, each run a row of a CSV file; what is there is not run again."""

import json
import pathlib
import shutil
import statistics
import time

import keras

from bsce_tf.evaluation import evaluate, tables
from bsce_tf.training import train, workdir
from experiments import rows
from experiments.provenance import provenance

KEY = ('condition', 'arm', 'learning_rate', 'seed')


class Grid:
    """Runs, and the table of them.

    Every arm may choose from the same learning rates: all are trained with the first seed, and the
    one with the smallest error on the validation set, which is a part of the noisy training set, is
    taken for all seeds. Every run is evaluated on the test set once, chosen or not, and no choice
    looks at that. Several processes on one machine may fill one file, each other conditions.

    Args:
      output: CSV file of the rows.
      runs: folder for the runs' files; a run is deleted there when its row is written.
      rates: learning rates to choose from.
      seeds: for each chosen arm; the first one also chooses.
      keep: whether the runs' files stay.
    """

    def __init__(self, output, runs, rates, seeds, keep=False):
        """See the class."""
        self.output, self.runs = pathlib.Path(output), pathlib.Path(runs)
        self.rates, self.seeds, self.keep = rates, seeds, keep
        self.rows = rows.read(self.output, KEY)

    def run(self, condition, arms, config):
        """Makes the rows that a condition lacks.

        Args:
          condition: name.
          arms: {name: {dotted name of a field: value}}.
          config: ConfigDict that the arms change.
        """
        for arm, changes in arms.items():
            for rate in self.rates:
                self._row(condition, arm, changes, config, rate, self.seeds[0])
        for seed in self.seeds[1:]:  # seed by seed, so that a stop leaves pairs
            for arm, changes in arms.items():
                self._row(condition, arm, changes, config, self.chosen(condition, arm), seed)

    def chosen(self, condition, arm):
        """The learning rate of an arm, or None while not all are tried."""
        found = [self.rows.get((condition, arm, f'{rate:g}', str(self.seeds[0])))
                 for rate in self.rates]
        if None in found:
            return None
        return float(min(found, key=lambda row: float(row['validation_error']))['learning_rate'])

    def errors(self, condition, arm, column='mean_top1_error'):
        """{seed: test error} of an arm at its chosen rate."""
        rate = self.chosen(condition, arm)
        if rate is None:
            return {}
        keys = {seed: (condition, arm, f'{rate:g}', str(seed)) for seed in self.seeds}
        return {seed: float(self.rows[key][column]) for seed, key in keys.items()
                if key in self.rows}

    def folder(self, condition, arm, seed):
        """Where the run of an arm at its chosen rate is, or was."""
        return self.runs.joinpath(condition, arm, f'{self.chosen(condition, arm):g}', str(seed))

    def _row(self, condition, arm, changes, config, rate, seed):
        key = (condition, arm, f'{rate:g}', str(seed))
        if key in self.rows:
            return
        settings = config.copy_and_resolve_references()
        settings.update_from_flattened_dict(
            {**changes, 'seed': seed, 'optimizer.learning_rate': rate})
        folder, begin = self.runs.joinpath(*key), time.perf_counter()
        keras.backend.clear_session()
        train.train(settings, folder)
        seconds = time.perf_counter() - begin
        result = evaluate.evaluate(settings, folder)
        best = json.loads((folder / workdir.BEST).read_text())
        by_scale = {scale: round(found['mean_top1_error'], 6)
                    for scale, found in result['scales'].items()}
        row = {
            **dict(zip(KEY, key, strict=True)), 'split': result['split'],
            'validation_error': best[result['kind']]['error'],
            **{name: result[name] for name in tables.COLUMNS}, 'by_scale': json.dumps(by_scale),
            'epochs': settings.epochs, 'seconds': round(seconds, 1), **provenance()}
        self.rows = rows.add(self.output, KEY, row, self.runs / '.lock')
        if not self.keep:
            shutil.rmtree(folder)


def summary(errors):
    """'mean ± standard deviation (n)' of {seed: error}; 'not run' of none."""
    values = list(errors.values())
    if not values:
        return 'not run'
    spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.4f}{spread} ({len(values)})'


def difference(errors, others):
    """Mean of errors − others over the seeds of both, with its 95 % interval (Student's t)."""
    from scipy import stats
    pairs = [errors[seed] - others[seed] for seed in errors if seed in others]
    if len(pairs) < 2:
        return 'not run'
    mean = statistics.mean(pairs)
    half = stats.t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return f'{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]'
