"""The tutorials: docs/tutorials/*.py, Python files with text, as notebooks and as pages."""

import base64
import re

import jupytext

from tools.docs import paths

_CELL = re.compile(r'%%writefile (\S+)\n')
_COMMAND = re.compile(r'^!', re.MULTILINE)


def names():
    """Names of the tutorials, without '.py', sorted."""
    return sorted(path.stem for path in (paths.DOCS / 'tutorials').glob('*.py'))


def read(name):
    """The notebook of a tutorial, without outputs."""
    return jupytext.read(paths.DOCS / 'tutorials' / f'{name}.py')


def page(notebook, name):
    """A tutorial as a page.

    Commands of a terminal lose the sign that a notebook needs before them.

    Args:
      notebook: with outputs, or without.
      name: of the tutorial.

    Returns:
      (Markdown, dict {name of a picture: bytes of its PNG}).
    """
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == 'markdown':
            parts.append(cell.source)
            continue
        parts.append(_code(cell.source))
        for output in () if _CELL.match(cell.source) else cell.get('outputs', ()):
            if output.output_type == 'stream':
                parts.append(_fenced('text', output.text))
            elif 'image/png' in output.data:
                picture = f'{name}-{len(pictures) + 1}.png'
                pictures[picture] = base64.b64decode(output.data['image/png'])
                parts.append(f'![What the code above shows]({picture})')
            else:
                parts.append(_fenced('text', output.data['text/plain']))
    parts.append(f'[This page as a notebook]({name}.ipynb)')
    return '\n\n'.join(parts) + '\n', pictures


def _code(source):
    if written := _CELL.match(source):
        return f'File `{written[1]}`:\n\n{_fenced("python", source[written.end():])}'
    if _COMMAND.match(source):
        return _fenced('sh', _COMMAND.sub('', source))
    return _fenced('python', source)


def _fenced(language, text):
    return f'```{language}\n{text.strip()}\n```'
