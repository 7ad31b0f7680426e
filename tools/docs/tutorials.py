"""Runs the tutorials and writes each as a page and a notebook, with its outputs and pictures.

  python -m tools.docs.tutorials     build/tutorials/NAME.md, NAME.ipynb, NAME-1.png …

Each runs in an empty folder. Output that a terminal would overwrite, such as progress bars, is left
out. A tutorial whose photographs are neither in .data nor to be downloaded is written without
outputs, and a line says so.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import sys
import tempfile

import nbformat
from nbclient import NotebookClient

from bsce_tf.data.sources import fashion_mnist
from bsce_tf.errors import InputError
from tools.docs import notebooks, paths

_SECONDS = 900  # for a cell
_COLOURS = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')
_COMMAND = re.compile('^!.*$', re.MULTILINE)
_CHECKED = r'\g<0>' + '\nassert not _exit_code, _exit_code'  # a notebook would go on after it


def run(name, folder):
    """Runs a tutorial in a folder and returns its notebook.

    Args:
      name: of the tutorial.
      folder: pathlib.Path, to work in; empty.

    Raises:
      nbclient.exceptions.CellExecutionError: if a cell fails, or one of its commands.
    """
    notebook = notebooks.read(name)
    client = NotebookClient(notebook, timeout=_SECONDS, kernel_name='python3',
                            record_timing=False,
                            extra_arguments=['--IPKernelApp.log_level=ERROR'],
                            resources={'metadata': {'path': str(folder)}})
    written = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.source = _COMMAND.sub(_CHECKED, cell.source)
    # The environment without TensorFlow, as the tutorial on backends calls it.
    pathlib.Path(folder, 'other').symlink_to(paths.ROOT / '.venv-backends')
    places = [str(pathlib.Path(sys.executable).parent), os.environ['PATH']]
    client.execute(env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3',
                        'PYTHONPATH': str(paths.ROOT), 'PATH': os.pathsep.join(places)})
    for cell, source in zip(notebook.cells, written, strict=True):
        cell.source = source
        if cell.cell_type == 'code':
            cell.outputs = tidied(cell.outputs)
    return notebook


def tidied(outputs):
    """Outputs of a cell; what it printed is one text, as a terminal shows it at the end."""
    printed = ''.join(output.text for output in outputs if output.output_type == 'stream')
    lines = [line.rstrip('\r').rpartition('\r')[2].rstrip()
             for line in _COLOURS.sub('', printed).split('\n')]
    text = '\n'.join(line for line in lines if line and '%|' not in line)
    others = [output for output in outputs if output.output_type != 'stream']
    return [nbformat.v4.new_output('stream', text=f'{text}\n'), *others] if text else others


def _write(name):
    with tempfile.TemporaryDirectory() as folder:
        notebook = run(name, folder) if _has_data(name) else notebooks.read(name)
    text, pictures = notebooks.page(notebook, name)
    nbformat.write(notebook, paths.TUTORIALS / f'{name}.ipynb')
    for picture, data in pictures.items():
        (paths.TUTORIALS / picture).write_bytes(data)
    (paths.TUTORIALS / f'{name}.md').write_text(text, encoding='utf-8')


def _has_data(name):
    if any('fashion_mnist' in cell.source for cell in notebooks.read(name).cells):
        try:
            fashion_mnist.load()
        except InputError as error:
            print(f'warning: tutorial {name} has no outputs: {error}', file=sys.stderr)
            return False
    return True


def main():
    """Runs all tutorials, two at a time, the longest first."""
    shutil.rmtree(paths.TUTORIALS, ignore_errors=True)
    paths.TUTORIALS.mkdir(parents=True)
    names = sorted(notebooks.names(), key=lambda name: -len(notebooks.read(name).cells))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(_write, names))


if __name__ == '__main__':
    main()
