"""The paper's Table 4 on data that anyone can get: top-1 vote over models of different backbones.

    python -m experiments.table4 [--seeds=0,1,2]

Votes with the BSCE runs that `experiments.table1` keeps in runs/table1 (and makes those that are
missing), each with the features of all test scales averaged. Writes results/table4.md; the votes
are rows of results/table1.csv.
"""

import json
import pathlib

from absl import app

from bsce_tf import files
from experiments import intervals, study, table1

OUTPUT = 'results/table4.md'
NAME = 'vote of all, bsce'
ARMS = [f'{backbone}, bsce' for backbone in table1.BACKBONES]
PAPER = 'Paper, AliProducts, online test: 0.1515 for its ensemble.'


def table(found):
    """Markdown: every model with all its scales, their top-1 vote and their mean probability."""
    lines = ['| model | mean top-1 error, all scales |', '|---|---:|']
    rows = {seed: json.loads(row['by_scale'])
            for condition in table1.STUDY.conditions
            for seed, row in found.rows_of(condition, NAME).items()}
    for part, name in (*zip(ARMS, ARMS, strict=True), ('vote', 'top-1 vote of the four'),
                       ('mean', 'mean probability of the four')):
        errors = {seed: row[part] for seed, row in rows.items()}
        lines.append(f'| {name} | {intervals.summary(errors)} |')
    return '\n'.join([*lines, '', PAPER, ''])


def main(_):
    """Makes what is missing and writes the table."""
    config = table1.get_config()
    found = study.run(table1.STUDY, config, after=lambda found, condition: found.vote(
        condition, NAME, ARMS, config))
    text = table(found)
    files.write_text(pathlib.Path(OUTPUT), text)
    print(text)


if __name__ == '__main__':
    app.run(main)
