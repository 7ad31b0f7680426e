"""Writes the site's sources, or what stands beside its finished pages.

  python -m tools.docs.site sources build/docs/source   pages for Sphinx, pictures, tables
  python -m tools.docs.site beside build/docs/html      the Markdown of each page, and llms.txt
"""

import pathlib
import re
import shutil
import sys

from tools.docs import links, pages, paths

_CONTENTS = re.compile(r'^```\{toctree\}\n.*?^```\n*', re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r'^```\{(note|tip|warning)\}\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def sources(folder):
    """Writes every page, whole, and the files that they show."""
    shutil.rmtree(folder, ignore_errors=True)
    _fill(folder, lambda text: text)


def beside(folder):
    """Writes page.md beside page.html, for programs that read documentation, and llms.txt."""
    _fill(folder, plain)
    _write(folder / 'llms.txt', overview())


def _fill(folder, changed):
    copies = {name: paths.DOCS / name for name in pages.names('.svg')}
    copies |= {f'tutorials/{path.name}': path for path in paths.TUTORIALS.glob('*')
               if path.suffix != '.md'}
    for name in pages.names():
        text, needed = pages.read(name)
        _write(folder / name, changed(text))
        copies |= {f'{pages.FILES}/{pages.copy_of(path)}': path for path in needed}
    for name, path in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


def plain(text):
    """A page without what only Sphinx understands."""
    text = _CONTENTS.sub('', text)
    return _NOTE.sub(lambda note: '\n'.join(
        f'> {line}'.rstrip() for line in note[2].strip().split('\n')), text)


def overview():
    """llms.txt: the title and the aim of each page, in the order of the tables of contents."""
    whole = {name: pages.source(name) for name in pages.names()}
    title, aim = _begin(whole['index.md'])
    lines = [f'# {title}', '', f'> {aim}', '']
    for entry in links.contents(whole['index.md']):
        name = f'{entry}.md'
        folder, slash, _ = name.rpartition('/')
        members = [f'{folder}{slash}{below}.md' for below in links.contents(whole[name])]
        lines += [f'## {_begin(whole[name])[0]}', '']
        lines += [f'- [{_begin(whole[page])[0]}]({page}): {_begin(whole[page])[1]}'
                  for page in [name, *members]]
        lines.append('')
    return '\n'.join(lines)


def _begin(text):
    """Title and first paragraph of a page, each in one line."""
    title, _, rest = text.removeprefix('# ').partition('\n')
    aim = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', rest.strip().partition('\n\n')[0])
    return title.strip(), ' '.join(aim.split())


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    {'sources': sources, 'beside': beside}[sys.argv[1]](pathlib.Path(sys.argv[2]))
