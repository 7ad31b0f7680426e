"""The package as `pip install` leaves it: another environment, another folder, no checkout."""

import json
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """(wheel, sdist), built from what git knows of this tree."""
    base = tmp_path_factory.mktemp('build')
    tree = base / 'tree'
    for name in run('git', 'ls-files', '-co', '--exclude-standard', cwd=ROOT).splitlines():
        if (ROOT / name).is_file() and not name.startswith(('tests/', 'results/')):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    code = ('from setuptools import build_meta as build; '
            f'print(build.build_sdist({str(base)!r})); print(build.build_wheel({str(base)!r}))')
    run(sys.executable, '-c', code, cwd=tree)
    return next(base.glob('*.whl')), next(base.glob('*.tar.gz'))


def test_wheel_and_sdist_hold_the_whole_program(files):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / 'bsce_tf').rglob('*')
               if path.is_file() and path.suffix != '.pyc'}  # pages and tables, too
    configs = {path.name for path in (ROOT / 'configs').glob('*.py')}
    with zipfile.ZipFile(files[0]) as wheel:
        names = set(wheel.namelist())
    assert modules | {f'bsce_tf/configs/{name}' for name in configs} <= names
    assert {'bsce_tf/models/sizes.json', 'bsce_tf/py.typed', *(
        f'bsce_tf/{page}/page.{kind}' for page in ('review', 'demo_page')
        for kind in ('html', 'css', 'js'))} <= names
    with tarfile.open(files[1]) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    assert modules | {f'configs/{name}' for name in configs} <= names
    assert {'README.md', 'LICENSE', 'setup.cfg', 'pyproject.toml'} <= names


def test_an_installed_package_trains_predicts_and_exports_from_any_folder(files, tmp_path):
    env = tmp_path / 'env'
    run(sys.executable, '-m', 'venv', '--without-pip', env, cwd=tmp_path)
    site = next(env.glob('lib/python*/site-packages'))
    run(sys.executable, '-m', 'pip', '--python', env / 'bin' / 'python', 'install', '--no-deps',
        '--no-index', files[0], cwd=tmp_path)
    # What it needs comes from this environment, where the package itself is found by no path.
    (site / 'needs.pth').write_text(sysconfig.get_path('purelib'))
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    printed = run(env / 'bin' / 'python', '-c', 'print(__import__("bsce_tf").__file__)', cwd=folder)
    assert pathlib.Path(printed.strip()).is_relative_to(env)

    def bsce(*words):
        run(env / 'bin' / 'bsce', *words, '--workdir=run', cwd=folder)

    bsce('train', '--config=smoke')
    errors = folder / 'run' / 'eval.json'
    told = json.loads(errors.read_text())
    errors.unlink()
    bsce('evaluate')
    assert json.loads(errors.read_text()) == told
    bsce('predict')
    assert len((folder / 'run' / 'predictions.csv').read_text().splitlines()) == 1 + 48
    bsce('export', '--config.tta.scales=(26,)')  # with one scale it takes 15 s less
    assert (folder / 'run' / 'export' / 'bsce_tf' / '1' / 'saved_model.pb').is_file()
