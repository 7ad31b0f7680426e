"""The paper's Table 2 on data that anyone can get: CE, BCE, SCE and BSCE on Fashion-MNIST.

    python -m experiments.table2 [--conditions=symmetric30] [--seeds=0,1,2,3,4]

The same network, epochs and choice of learning rates for all four; see `grid.Grid`. Goes on where
it was stopped. Writes results/table2.csv, a row a run, and results/table2.md.
"""

import pathlib

from absl import app, flags

from bsce_tf import files
from configs import fashion_mnist
from experiments import grid

CONDITIONS = {
    'symmetric30': {'data.imbalance': 50.0, 'data.noise': 0.3},
    'symmetric40': {'data.imbalance': 100.0, 'data.noise': 0.4},
    'asymmetric20': {'data.imbalance': 20.0, 'data.noise': 0.2, 'data.noise_kind': 'asymmetric'},
    'clean': {'data.imbalance': 1.0, 'data.noise': 0.0, 'epochs': 6},  # 3.3 × as many images
}
LOSSES = ('ce', 'bce', 'sce', 'bsce')
PAPER = {'ce': 0.1530, 'bce': 0.1430, 'sce': 0.1492, 'bsce': 0.1407}  # AliProducts, Table 2

WHICH = flags.DEFINE_list('conditions', list(CONDITIONS), 'Of the data; see CONDITIONS.')
SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2', '3', '4'], 'Of data, weights and crops.')
RATES = flags.DEFINE_list('rates', ['0.01', '0.03'], 'Learning rates that each loss may choose.')
OUTPUT = flags.DEFINE_string('output', 'results/table2', 'The tables, without .csv and .md.')
RUNS = flags.DEFINE_string('runs', 'runs/table2', 'Folder for files of runs that are under way.')


def run(config, output, runs, conditions, seeds, rates):
    """Makes what is missing and writes both tables after each condition.

    Args:
      config: ConfigDict that conditions and losses change.
      output: path without its ending.
      runs: folder.
      conditions: {name: {dotted name of a field: value}}.
      seeds: list of whole numbers.
      rates: list of learning rates.
    """
    found = grid.Grid(f'{output}.csv', runs, rates, seeds)
    for condition, changes in conditions.items():
        arms = {loss: {**changes, 'loss.name': loss} for loss in LOSSES}
        found.run(condition, arms, config)
        text = table(found, conditions)
        files.write_text(pathlib.Path(f'{output}.md'), text)
        print(text)


def table(found, conditions):
    """Markdown: a row a condition and loss."""
    lines = ['| data | loss | learning rate | mean top-1 error, test | − ce, 95 % interval '
             '| paper, AliProducts |', '|---|---|---:|---:|---:|---:|']
    for condition in conditions:
        ce = found.errors(condition, 'ce')
        for loss in LOSSES:
            errors, rate = found.errors(condition, loss), found.chosen(condition, loss)
            lines.append(f'| {condition} | {loss} | {"–" if rate is None else f"{rate:g}"} '
                         f'| {grid.summary(errors)} '
                         f'| {"" if loss == "ce" else grid.difference(errors, ce)} '
                         f'| {PAPER[loss]:.4f} |')
    return '\n'.join(lines) + '\n'


def main(_):
    """Runs what the flags name."""
    run(fashion_mnist.get_config(), OUTPUT.value, RUNS.value,
        {name: CONDITIONS[name] for name in WHICH.value}, [int(s) for s in SEEDS.value],
        [float(r) for r in RATES.value])


if __name__ == '__main__':
    app.run(main)
