"""Modules import only from levels before their own, or from their own folder."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1] / 'bsce_tf'
FREE = {'fields', 'internals', 'parts', 'losses', 'metrics', 'class_weights', 'division', 'errors',
        'files', 'locks', 'progress', 'storage', 'termination'}
# Those of one level do not import each other.
LEVELS = [('data', 'remote', 'web'), ('models', 'index'), ('catalogue',), ('heads',), ('training',),
          ('evaluation',), ('audit',), ('report',), ('review', 'serving'), ('demo_page',)]
# The command line is above all.
FILES = [path for path in ROOT.rglob('*.py') if path.relative_to(ROOT).parts[0] != 'cli'
         and (path.parent != ROOT or path.stem in FREE)]


def imports(path):
    """Our own modules that a file imports, as 'data' or 'data.sampler'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('bsce_tf'):
            base = node.module.removeprefix('bsce_tf').lstrip('.')
            for name in node.names if not base else [None]:
                yield base or name.name
        elif isinstance(node, ast.Import):
            yield from (n.name.removeprefix('bsce_tf.') for n in node.names
                        if n.name.startswith('bsce_tf.'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path):
    here = path.relative_to(ROOT).parts[0].removesuffix('.py')
    allowed = FREE | {'__version__'}
    level = next((i for i, folders in enumerate(LEVELS) if here in folders), None)
    if level is not None:
        allowed |= {here, *(name for folders in LEVELS[:level] for name in folders)}
    else:
        allowed = {'errors', 'fields', 'files', 'internals', 'class_weights', 'locks', 'parts',
                   here}
    wrong = [name for name in imports(path) if name.split('.')[0] not in allowed]
    assert not wrong, f'{path} imports {wrong}'


def test_what_is_not_public_in_keras_and_tensorflow_is_used_in_one_file():
    private = re.compile(r'tensorflow\.python|keras\.src|\b(?!self\b|cls\b)\w+\._(flatten_layers|'
                         r'inbound_nodes|get_variable_index|all_reduce_sum_gradients)')
    found = [f'{path.name}: {line.strip()}' for path in ROOT.rglob('*.py')
             if path.name != 'internals.py' for line in path.read_text().splitlines()
             if private.search(line)]
    assert not found


def needed(path, found):
    """Adds to `found` the files of ours that a file imports, and those that they import."""
    if path in found:
        return
    found.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('bsce_tf'):
            base = ROOT.joinpath(*node.module.split('.')[1:])
            for place in (base, *(base / n.name for n in node.names)):
                for file in (place.with_suffix('.py'), place / '__init__.py'):
                    if file.exists():
                        needed(file, found)


@pytest.mark.parametrize('name', ['serving/export', 'evaluation/predict', 'evaluation/networks'])
def test_serving_and_prediction_need_no_trainer(name):
    found = set()
    needed(ROOT / f'{name}.py', found)
    assert ROOT / 'models' / 'classifier.py' in found
    trainer = {ROOT / 'training' / f'{part}.py' for part in ('train', 'loop', 'trainer')}
    assert [file for file in trainer if not file.is_file()] == []
    assert not found & trainer


def test_the_levels_are_those_of_the_contributors_page():
    text = (ROOT.parent / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    told = re.search(r'levels before it: (.*?)\.\n', text, re.DOTALL)[1]
    assert [set(re.findall(r'`(\w+)`', level)) for level in told.split(';')] == [
        set(level) for level in LEVELS]
    assert [name for level in LEVELS for name in level if not (ROOT / name).is_dir()] == []
    assert [name for name in FREE if not (
        (ROOT / name).is_dir() or (ROOT / f'{name}.py').is_file())] == []
