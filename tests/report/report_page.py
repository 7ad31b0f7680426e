"""Reads a page that --mode=report wrote, and checks what every such page must be."""

import html.parser

VOID = {'meta', 'img', 'br', 'hr', 'link', 'input'}


class Page(html.parser.HTMLParser):
    """Checks nesting; keeps elements as (name, attributes) and the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts, self.svgs = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if self.open and self.open[-1] == 'svg':
            self.svgs[-1].append(tag)
        if tag == 'svg':
            self.svgs.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else '', data))

    def all(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]

    @property
    def text(self):
        return ''.join(data for tag, data in self.texts if tag != 'style')


def check(path, charts=True):
    """Parses a report and checks what every one must be; that of an audit alone has no charts."""
    text = path.read_text(encoding='utf-8')
    page = Page(text)
    assert text.startswith('<!DOCTYPE html>')
    for tag, attributes in page.elements:
        assert tag not in ('script', 'link', 'iframe', 'object', 'base')
        assert not any(name.startswith('on') for name in attributes)
        for name in ('src', 'href', 'xlink:href', 'data', 'srcset', 'action'):
            assert attributes.get(name, '#').startswith(('#', 'data:image/')), attributes
        assert 'url(' not in (attributes.get('style') or '')
    style = ''.join(data for tag, data in page.texts if tag == 'style')
    assert 'url(' not in style
    assert '@import' not in style
    assert all(attributes['alt'].strip() for attributes in page.all('img'))
    assert bool(page.svgs) == charts
    assert all('title' in children for children in page.svgs)
    names = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(names) == len(set(names))
    for attributes in page.all('a'):
        assert attributes['href'][1:] in names
    assert path.stat().st_size < 3 * 2**20
    return page
