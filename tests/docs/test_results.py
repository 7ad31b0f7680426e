"""The pages of results/ are those that their programs make of the CSV files.

Not compared are the pictures, and what `experiments.truth` says of the data, which are not here.
"""

import csv
import pathlib

import pytest
from absl import flags

from benchmarks import run as benchmarks
from experiments import (
    heads,
    label_noise,
    large_k,
    looks,
    losses,
    neighbours,
    recipes,
    rows,
    selection,
    shrunk,
    study,
    sweep,
    table1,
    table2,
    table3,
    table4,
    trusted,
)
from tests import processes

RESULTS = pathlib.Path(__file__).parents[2] / 'results'


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(RESULTS.parent)
    flags.FLAGS.mark_as_parsed()


def page(name):
    return (RESULTS / f'{name}.md').read_text(encoding='utf-8')


def of_study(made):
    return study.table(study.make_grid(made), made)


@pytest.mark.parametrize('made', [
    table1.STUDY, table2.STUDY, recipes.STUDY, sweep.STUDY, large_k.STUDY, losses.STUDY,
    heads.STUDY, trusted.STUDY, shrunk.STUDY],
    ids=lambda made: made.name)
def test_a_table_of_runs(made):
    assert f'{page(made.name)}\n'.startswith(f'{of_study(made)}\n')


def test_what_stands_below_the_tables():
    found = study.make_grid(losses.STUDY)
    assert page('losses').endswith(study.against(found, losses.STUDY, 'recommended'))
    assert page('trusted').endswith(trusted.choices(study.make_grid(trusted.STUDY)))


def test_tables_of_other_tables():
    studies = table1.STUDY, table2.STUDY
    assert page('table3') == table3.table([(made, study.make_grid(made)) for made in studies])
    assert page('table4') == table4.table(study.make_grid(table1.STUDY))
    assert page('selection') == selection.table(study.make_grid(losses.STUDY), losses.STUDY)


@pytest.mark.parametrize(('program', 'make'), [
    (label_noise, label_noise.markdown), (looks, looks.markdown), (neighbours, neighbours.table)])
def test_tables_of_their_own(program, make):
    name = program.__name__.rpartition('.')[2]
    assert page(name) == make(rows.read(RESULTS / f'{name}.csv', program.KEY))


PRINT_BATCH_NORM = """
from experiments import batch_norm, rows
print(batch_norm.table(rows.read('results/batch_norm.csv', batch_norm.KEY)), end='')
"""


def test_the_table_of_statistics():  # in a process: its flags have the names of other programs'
    assert processes.run(exec, PRINT_BATCH_NORM).stdout == page('batch_norm')


@pytest.mark.parametrize('name', ['benchmarks', 'benchmarks_faster_machine'])
def test_measurements(name):
    with open(RESULTS / f'{name}.csv', encoding='utf-8', newline='') as file:
        assert page(name) == benchmarks.page(list(csv.DictReader(file)))


def test_every_page_is_compared():
    compared = {'table1', 'table2', 'recipes', 'sweep', 'large_k', 'losses', 'heads', 'table3',
                'table4', 'selection', 'shrunk', 'trusted', 'batch_norm', 'label_noise', 'looks',
                'neighbours', 'benchmarks', 'benchmarks_faster_machine'}
    assert {path.stem for path in RESULTS.glob('*.md')} == compared
