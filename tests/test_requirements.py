"""What the package imports of others stands in setup.cfg."""

import ast
import configparser
import pathlib
import re
import sys

import pytest

from bsce_tf import cli

ROOT = pathlib.Path(__file__).parents[1]
NAMES = {  # of projects whose modules are called otherwise, or that bring the modules of others
    'absl': 'absl-py', 'ml_collections': 'ml-collections', 'faiss': 'faiss-cpu',
    'array_record': 'array-record', 'tensorflow_datasets': 'tensorflow-datasets',
    'official': 'tf-models-official', 'keras_hub': 'keras-hub', 'huggingface_hub':
    'huggingface-hub', 'ai_edge_litert': 'ai-edge-litert', 'grpc': 'grpcio',
    'tensorflow_serving': 'tensorflow-serving-api', 'google': 'tensorflow',
    'ml_dtypes': 'tensorflow', 'werkzeug': 'flask'}
NOT_FOR_USERS = {'experiments', 'test', 'docs', 'tutorials', 'dev'}  # extras
FILES = {path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')
         .removesuffix('.__init__'): path for path in (ROOT / 'bsce_tf').rglob('*.py')}


def projects(text):
    return {re.match(r'[\w-]+', line)[0] for line in text.splitlines()
            if line and not line.startswith(('#', 'bsce-tf['))}


def declared():
    """(projects of the core, projects of the extras for users)."""
    found = configparser.ConfigParser()
    found.read(ROOT / 'setup.cfg')
    extras = [projects(text) for name, text in found['options.extras_require'].items()
              if name not in NOT_FOR_USERS]
    return projects(found['options']['install_requires']), set().union(*extras)


def imports(node, inside=False):
    """Yields (module, whether it is imported in a function) of a tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((name.name, inside) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module, inside
            yield from ((f'{child.module}.{name.name}', inside) for name in child.names)
        else:
            yield from imports(child, inside or isinstance(
                child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def others(found):
    """Projects that modules come from, without those of Python and ours."""
    tops = {module.partition('.')[0] for module in found}
    return {NAMES.get(top, top) for top in tops - sys.stdlib_module_names - {'bsce_tf'}}


IMPORTS = {module: set(imports(ast.parse(path.read_text(encoding='utf-8'))))
           for module, path in FILES.items()}


def loaded(module, found):
    """Adds to `found` a module of ours and all that are imported with it."""
    if module in FILES and module not in found:
        found.add(module)
        loaded(module.rpartition('.')[0], found)
        for name, inside in IMPORTS[module]:
            if not inside:
                loaded(name, found)
    return found


@pytest.mark.parametrize('module', sorted({
    'bsce_tf.cli', 'bsce_tf.api', 'bsce_tf.config_check', 'bsce_tf.serving.client',
    *(step.partition(':')[0] for mode in cli.MODES.values() for step in mode.steps)}))
def test_every_mode_begins_with_the_core_alone(module):
    found = loaded(module, set())
    assert module in found
    core, _ = declared()
    for name in found:
        assert others(other for other, inside in IMPORTS[name] if not inside) <= core, name


def test_every_import_is_of_a_declared_project():
    core, extras = declared()
    assert {'tensorflow', 'keras', 'numpy'} <= core
    assert {'flask', 'pyarrow', 'faiss-cpu'} <= extras
    for module, found in IMPORTS.items():
        assert others(name for name, _ in found) <= core | extras, module


def test_every_project_of_the_core_is_imported():
    used = set().union(*(others(name for name, _ in found) for found in IMPORTS.values()))
    assert declared()[0] - used <= {'tensorboard'}  # TensorFlow's summaries are looked at with it
