"""Links and anchors of pages in Markdown, without Sphinx: for a quick check."""

import os
import re

_FENCE = re.compile(r'^(```+|~~~+).*?^\1$', re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r'^#{1,6} (.*)$', re.MULTILINE)
_LINK = re.compile(r'(?<!\\)\]\(([^)\s]+)\)')
_CONTENTS = re.compile(r'^```\{toctree\}\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def anchors(text):
    """The anchors of a page's headings, as a set; a heading that comes twice gets '-1'."""
    found = set()
    for heading in _HEADING.findall(_FENCE.sub('', text)):
        base = slug = re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        number = 0
        while slug in found:
            number += 1
            slug = f'{base}-{number}'
        found.add(slug)
    return found


def links(text):
    """Targets of the links and pictures of a page, code left out, in their order."""
    return _LINK.findall(re.sub(r'`[^`\n]*`', '', _FENCE.sub('', text)))


def broken(pages, others=()):
    """Lines on the links that lead nowhere.

    Args:
      pages: dict {path: text}, paths relative to one folder.
      others: paths of files that are no pages.
    """
    known = {name: anchors(text) for name, text in pages.items()}
    lines = []
    for name, text in pages.items():
        for link in links(text):
            if re.match(r'[a-z]+:', link):
                continue
            path, _, anchor = link.partition('#')
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if target not in known and target not in others:
                lines.append(f'{name}: {link}: no such page or file')
            elif anchor and anchor not in known.get(target, ()):
                lines.append(f'{name}: {link}: no such heading')
    return lines


def contents(text):
    """Pages that the tables of contents of a page name, without '.md', relative to it."""
    entries = [line.strip() for block in _CONTENTS.findall(text) for line in block.split('\n')]
    return [entry for entry in entries if entry and not entry.startswith(':')]


def listed(pages, first='index.md'):
    """Pages that are reached by the tables of contents from the first one, as a set of paths."""
    found, left = set(), [first]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        left += [os.path.normpath(os.path.join(os.path.dirname(name), f'{entry}.md'))
                 for entry in contents(pages[name])]
    return found
