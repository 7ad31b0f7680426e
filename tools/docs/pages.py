"""The pages of the documentation, whole: docs/**/*.md with what they include and what is generated.

The tutorials are pages too, with their outputs where `tools.docs.tutorials` has run.

Two fenced blocks are filled in here, so that no table is typed twice:

  {include} ../../results/table2.md    a file of the repository, without its title; of a CSV file
                                       the columns that the block names, one a line
  {generated} fields                   a part of the reference, see `reference.PARTS`

What comes out is plain Markdown but for tables of contents (`{toctree}`) and notes.
"""

import csv
import os
import pathlib
import re

from tools.docs import notebooks, reference
from tools.docs.paths import DOCS, ROOT, TUTORIALS

FILES = 'files'  # folder of the site for pictures and tables of the repository

_BLOCK = re.compile(r'^```\{(include|generated)\} (\S+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'(\]\()([^)\s#]+)')
_TITLE = re.compile(r'\A# .*\n+')


def names(ending='.md'):
    """Paths of the pages below docs/, sorted, as 'how-to/resume.md'; or of other files there."""
    found = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob(f'*{ending}')]
    if ending == '.md':
        found += [f'tutorials/{name}.md' for name in notebooks.names()]
    return sorted(found)


def source(name):
    """A page as it is written, its blocks not filled in."""
    path = DOCS / name
    if not path.with_suffix('.py').exists():
        return path.read_text(encoding='utf-8')
    finished = TUTORIALS / path.name
    if finished.exists():
        return finished.read_text(encoding='utf-8')
    return notebooks.page(notebooks.read(path.stem), path.stem)[0]


def read(name):
    """A page with its blocks filled in; links to files of the repository point to copies of them.

    Args:
      name: one of `names`.

    Returns:
      (text, set of the repository's files, as pathlib.Path, that the page needs beside it).

    Raises:
      ValueError: for a block or a link that leads nowhere.
    """
    place = DOCS / name
    text = _BLOCK.sub(lambda found: _filled(place, *found.groups()), source(name))
    needed = set()

    def moved(found):
        path = pathlib.Path(os.path.normpath(place.parent / found[2]))
        if ':' in found[2] or path.is_relative_to(DOCS):
            return found[0]
        if not path.is_file() or not path.is_relative_to(ROOT):
            raise ValueError(f'{place}: the link {found[2]} leads nowhere.')
        needed.add(path)
        return found[1] + os.path.relpath(DOCS / FILES / copy_of(path), place.parent)
    return _LINK.sub(moved, text), needed


def copy_of(path):
    """Name below `FILES` of a file of the repository."""
    return path.relative_to(ROOT).as_posix().replace('/', '-')


def _filled(place, kind, argument, body):
    if kind == 'generated':
        if argument not in reference.PARTS:
            raise ValueError(f'{place}: {argument} is no part of the reference.')
        return reference.PARTS[argument]()
    path = pathlib.Path(os.path.normpath(place.parent / argument))
    if not path.is_file():
        raise ValueError(f'{place}: {argument} is included, and not there.')
    if path.suffix == '.csv':
        return table(path, body.split('\n')[:-1])
    return _TITLE.sub('', path.read_text(encoding='utf-8')).strip()


def table(path, columns):
    """Some columns of a CSV file as a table in Markdown, without a line break at the end."""
    with open(path, newline='', encoding='utf-8') as file:
        rows = [[row[column] for column in columns] for row in csv.DictReader(file)]
    lines = [columns, ['---'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
