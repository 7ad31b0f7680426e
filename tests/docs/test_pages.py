"""The pages of docs/, whole as the site shows them, checked without Sphinx."""

import pathlib
import re

import keras
import pytest

from bsce_tf import api, cli, fields, losses
from tools.docs import gradient, links, notebooks, pages, paths, reference, site

ROOT = pathlib.Path(__file__).parents[2]
BEGINNINGS = ('At the end of this page', 'Each guide', 'Look up here', 'Look here', 'Find here',
              'Read here', 'See here', 'Train image')


@pytest.fixture(scope='module')
def whole():
    """({path: text} of all pages with what they include, paths of the files beside them)."""
    found, beside = {}, set(pages.names('.svg'))
    beside |= {f'tutorials/{name}.ipynb' for name in notebooks.names()}
    beside |= {f'tutorials/{path.name}' for path in paths.TUTORIALS.glob('*.png')}
    for name in pages.names():
        found[name], needed = pages.read(name)
        beside |= {f'{pages.FILES}/{pages.copy_of(path)}' for path in needed}
    return found, beside


def test_every_page_is_in_the_tables_of_contents(whole):
    assert links.listed(whole[0]) == set(whole[0])


def test_an_index_links_to_all_its_pages(whole):
    for name, text in whole[0].items():
        lacking = {f'{entry}.md' for entry in links.contents(text)} - set(links.links(text))
        assert name == 'index.md' or not lacking, name


def test_links_and_anchors_lead_somewhere(whole):
    assert links.broken(*whole) == []


@pytest.mark.parametrize(('link', 'told'), [
    ('b.md', ''), ('b.md#a-b', ''), ('#one', ''), ('x.svg', ''), ('https://example.org/x', ''),
    ('c.md', 'no such page'), ('b.md#a', 'no such heading'), ('#two', 'no such heading'),
    ('y.svg', 'no such page or file'), ('../b.md', 'no such page')])
def test_a_link_that_leads_nowhere_is_found(link, told):
    found = links.broken({'a.md': f'# One\n[x]({link})\n```\n[y](none.md)\n```\n`[z](none.md)`\n',
                          'b.md': '## `A` b!\n'}, {'x.svg'})
    assert [told in line for line in found] == [True] * bool(told)


def test_headings_that_come_twice_have_anchors_of_their_own():
    assert links.anchors('# A\n## `a.b_c`\n# A\n```\n# no\n```\n') == {'a', 'a-1', 'ab_c'}


def test_a_page_begins_with_what_its_reader_gets(whole):
    for name, text in whole[0].items():
        title, empty, aim = text.split('\n')[:3]
        assert title.startswith('# '), name
        assert not empty, name
        assert aim.startswith(BEGINNINGS), name


def test_every_field_is_in_the_reference(whole):
    text = whole[0]['reference/fields.md']
    assert sorted(re.findall(r'^### `(.*)`$', text, re.MULTILINE)) == sorted(fields.TABLE)
    groups = re.findall(r'^## (.*)$', text, re.MULTILINE)
    assert len(groups) == len(set(groups))
    for name, field in fields.TABLE.items():
        part = text.partition(f'### `{name}`\n')[2].partition('\n#')[0].replace('\\', '')
        assert field.help in part, name
        assert f'`{field.default!r}`' in part, name
        assert field.rule.expected in part, name
        assert re.search(r'Used by: `\w+`', part), name


def test_every_loss_can_be_looked_up(whole):
    listed = whole[0]['how-to/choose-a-loss.md']
    assert [name for name in losses.NAMES if f'`{name}`' not in listed] == []


def test_every_mode_is_in_the_reference(whole):
    text = whole[0]['reference/modes.md']
    assert re.findall(r'^### `(.*)`$', text, re.MULTILINE) == list(cli.MODES)
    for name, mode in cli.MODES.items():
        assert mode.help[1:] in text.partition(f'### `{name}`\n')[2].partition('\n#')[0], name


def test_every_argument_of_the_python_interface_is_told(whole):
    text = whole[0]['reference/python.md']
    for name in ('bsce_tf.train', 'bsce_tf.losses.BalancedSymmetricCrossEntropy', 'Run.predict'):
        part = re.split(rf'^####? `{re.escape(name)}`$', text, flags=re.MULTILINE)[1]
        part = re.split(r'^##', part, flags=re.MULTILINE)[0]
        signature = re.search(r'```python\n(.*?)```', part, re.DOTALL)[1]
        arguments = re.findall(r'[(,]\s*(\*{0,2}\w+)', signature)
        assert arguments
        assert [word for word in arguments if f'`{word}`' not in part] == [], name
    methods = [name for name in vars(api.Run) if not name.startswith('_')]
    assert [name for name in methods if f'#### `Run.{name}`' not in text] == []


def test_a_docstring_becomes_markdown():
    found = reference.docstring('Does x_y.\n\nArgs:\n  a, b: sizes,\n    `[K]`.\n  **c: more.\n\n'
                                'Returns:\n  A * b.\n\nExample:\n  >>> 1\n  1')
    assert found == ['Does x\\_y.', '', '**Args**', '', '- `a`, `b`: sizes,', '    `[K]`.',
                     '- `**c`: more.', '', '**Returns**', '', 'A \\* b.', '', '**Example**', '',
                     '```pycon', '>>> 1', '1', '```']


def test_messages_of_the_troubleshooting_page_are_those_of_the_program(whole):
    source = ''.join(path.read_text(encoding='utf-8')
                     for path in sorted((ROOT / 'bsce_tf').rglob('*.py')))
    source = re.sub(r"['\"]\s*\n\s*f?['\"]", '', source)  # one message over several lines
    quoted = re.findall(r'^### "(.*)"$', whole[0]['help/troubleshooting.md'], re.MULTILINE)
    assert len(quoted) > 10
    assert [words for words in quoted
            if words not in source and words != 'has no best.json'] == []


def test_what_keras_says_is_on_the_troubleshooting_page(whole):
    (words,) = re.findall(r'^### Keras says "(.*)"$', whole[0]['help/troubleshooting.md'],
                          re.MULTILINE)
    with pytest.raises(TypeError, match=words):
        keras.saving.deserialize_keras_object({
            'class_name': 'NoHead', 'config': {}, 'module': None,
            'registered_name': 'bsce_tf>NoHead'})


def test_results_are_included_from_their_files(whole):
    for path in sorted((ROOT / 'results').glob('*.md')):
        rows = [line for line in path.read_text(encoding='utf-8').split('\n') if line[:1] == '|']
        shown = [name for name, text in whole[0].items()
                 if set(rows) <= set(text.split('\n'))]
        assert len(shown) == 1, path


def test_a_csv_file_is_shown_by_its_columns(tmp_path):
    (tmp_path / 'a.csv').write_text('x,y,z\n1,2,3\n4,5,6\n')
    assert pages.table(tmp_path / 'a.csv', ['z', 'x']) == (
        '| z | x |\n| --- | --- |\n| 3 | 1 |\n| 6 | 4 |')


def test_the_picture_of_the_gradient_is_that_of_its_program():
    assert gradient.PLACE.read_text(encoding='utf-8') == gradient.draw()


def test_llms_txt_names_every_page(whole):
    text = site.overview()
    assert re.findall(r'\]\((.*?)\)', text) == sorted(
        set(whole[0]) - {'index.md'}, key=lambda name: text.index(f']({name})'))
    assert '{toctree}' not in site.plain(whole[0]['index.md'])
