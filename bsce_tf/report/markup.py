"""HTML and SVG as text: elements that escape their contents, tables, and the format of numbers.

Not jinja2: its templates for page, table and cards have 24 lines, the same in Python 33. Charts and
galleries compute each element, and would need `element` beside the templates.
"""

import html
import math
import re

VOID = frozenset(('br', 'col', 'hr', 'img', 'input', 'link', 'meta'))

# Control characters that XML does not allow, and Unicode marks that reverse the direction of text.
_UNPRINTABLE = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069'
                          '\ud800-\udfff]')
DASH = '–'


class Markup(str):
    """Text that is HTML and is not escaped again."""


def escape(value):
    """`Markup` of any value; `Markup` itself is returned unchanged."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(printable(value)))


def printable(value):
    """Text of a value, with a sign in place of what cannot be shown or turns its direction."""
    return _UNPRINTABLE.sub('\N{REPLACEMENT CHARACTER}', str(value))


def element(name, *children, **attributes):
    """One element.

    Args:
      name: of the tag.
      *children: values, escaped unless they are `Markup`; None is left out.
      **attributes: underscores become hyphens, one at the end is dropped (`class_`). None: no
        attribute; True: an attribute without a value.

    Returns:
      `Markup`.
    """
    parts = [f'<{name}']
    for key, value in attributes.items():
        key = key.rstrip('_').replace('_', '-')
        if value is True:
            parts.append(f' {key}')
        elif value is not None:
            parts.append(f' {key}="{escape(value)}"')
    parts.append('>')
    if name not in VOID:
        parts += [escape(child) for child in children if child is not None]
        parts.append(f'</{name}>')
    return Markup(''.join(parts))


def join(parts):
    """`Markup` of several values, concatenated; None is left out."""
    return Markup(''.join(escape(part) for part in parts if part is not None))


def table(heads, rows, caption, numeric=()):
    """A table, which scrolls sideways if it is wider than the page.

    Args:
      heads: names of the columns.
      rows: lists of cells; the first cell is the row's header.
      caption: one line above the table.
      numeric: indices of the columns to right-align.
    """
    def cell(name, i, value, **attributes):
        if isinstance(value, Markup) and value.startswith('<td'):
            return value
        return element(name, value, class_='n' if i in numeric else None, **attributes)

    head = element('tr', *(cell('th', i, value, scope='col') for i, value in enumerate(heads)))
    body = [element('tr', cell('th', 0, row[0], scope='row'),
                    *(cell('td', i, value) for i, value in enumerate(row[1:], 1)))
            for row in rows]
    whole = element('table', element('caption', element('span', caption)), element('thead', head),
                    element('tbody', *body))
    return element('div', whole, class_='scroll', tabindex='0', role='region', aria_label=caption)


def folded(items, kind, most, name):
    """A list of items; those after the first `most` lie in a part that opens at a click."""
    parts = [element('ul', *items[:most], class_=kind)]
    if len(items) > most:
        parts.append(element('details', element(
            'summary', f'{plural(len(items) - most, f"more {name}", f"more {name}s")}'), element(
                'ul', *items[most:], class_=kind)))
    return parts


def bar_cell(value, text, lowest=False):
    """A cell with a number 0 … 1 and a bar of its size; `lowest` marks the column's lowest."""
    if value is None:
        return element('td', text, class_='n')
    return element('td', element('strong', text, ' ', element('span', '▾', title='lowest'))
                   if lowest else text, class_='n bar', style=f'--v:{100 * value:.1f}%')


def rate(value):
    """An error or a probability with four decimals; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return DASH
    return f'{value:.4f}'


def count(value):
    """A whole number with thousands separators: 50,030."""
    return f'{int(value):,}'


def short(value):
    """A number with at most four digits, as on an axis: 0.25, 1,000, 1e-05."""
    if value == 0:
        return '0'
    if 1000 <= abs(value) < 1e6 and value == int(value):
        return f'{int(value):,}'
    return f'{value:.4g}'


def plural(number, one, many=None):
    """'1 class', '2 classes'."""
    return f'{count(number)} {one if number == 1 else many or one + "s"}'
