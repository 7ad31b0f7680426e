"""The table of `tools/mutations.py`: a line that is no longer there could not be broken."""

import collections
import pathlib
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TABLE = tomllib.loads((ROOT / 'tools' / 'mutations.toml').read_text())['change']


def test_names_are_unique():
    assert max(collections.Counter(change['name'] for change in TABLE).values()) == 1


@pytest.mark.parametrize('change', TABLE, ids=lambda change: change['name'])
def test_the_line_is_there_once_and_its_tests_exist(change):
    assert (ROOT / change['file']).read_text().count(change['old']) == 1
    for test in change['tests']:
        path, _, name = test.partition('::')
        name = name.partition('[')[0]
        assert (ROOT / path).exists(), path
        assert not name or f'def {name}(' in (ROOT / path).read_text(), test
