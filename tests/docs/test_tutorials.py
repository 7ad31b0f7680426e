"""Tutorials as pages and notebooks. They run in `make docs`, not here."""

import base64

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.docs import notebooks, tutorials


def page(*cells):
    return notebooks.page(new_notebook(cells=list(cells)), 'shoes')


def test_text_stays_and_code_is_fenced():
    text, pictures = page(new_markdown_cell('# Shoes\n\nText.'), new_code_cell('a = 1'))
    assert text == ('# Shoes\n\nText.\n\n```python\na = 1\n```\n\n'
                    '[This page as a notebook](shoes.ipynb)\n')
    assert pictures == {}


def test_commands_are_as_a_terminal_takes_them():
    text, _ = page(new_code_cell('!A=1 bsce train\n!bsce report'))
    assert '```sh\nA=1 bsce train\nbsce report\n```' in text


def test_a_file_that_is_written_has_its_name_and_no_output():
    text, _ = page(new_code_cell('%%writefile shop.py\na = 1', outputs=[
        new_output('stream', text='Writing shop.py\n')]))
    assert text.startswith('File `shop.py`:\n\n```python\na = 1\n```\n\n[')


def test_outputs_and_pictures_follow_their_code():
    picture = base64.b64encode(b'png').decode()
    text, pictures = page(new_code_cell('show()', outputs=[
        new_output('stream', text='seen\n'),
        new_output('execute_result', {'image/png': picture, 'text/plain': '<Image>'}),
        new_output('execute_result', {'text/plain': '3'})]))
    assert text.startswith('```python\nshow()\n```\n\n```text\nseen\n```\n\n'
                           '![What the code above shows](shoes-1.png)\n\n```text\n3\n```')
    assert pictures == {'shoes-1.png': b'png'}


def test_only_what_stays_on_a_terminal_is_shown():
    printed = [new_output('stream', text='\rstep 1\rstep 2\r\n\x1b[31mred\x1b[0m\r\n'),
               new_output('stream', text='hash: 50%|## | 1/2\rhash: 100%|####| 2/2\n\nend')]
    (output,) = tutorials.tidied(printed)
    assert output.text == 'step 2\nred\nend\n'
    assert tutorials.tidied([]) == []


@pytest.mark.parametrize('code', ['1 / 0', '!exit 3\n!true'])
def test_what_fails_stops_the_run(tmp_path, monkeypatch, code):
    broken = new_notebook(cells=[new_code_cell(code), new_code_cell('')])
    monkeypatch.setattr(notebooks, 'read', lambda name: broken)
    with pytest.raises(CellExecutionError):
        tutorials.run('shoes', tmp_path)


@pytest.mark.parametrize('name', notebooks.names())
def test_every_tutorial_is_a_valid_notebook(name):
    nbformat.validate(notebooks.read(name))
