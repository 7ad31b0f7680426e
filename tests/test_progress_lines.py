import io
import types

import pytest

from bsce_tf import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, 'perf_counter', lambda: now.seconds)
    return now


def test_without_a_terminal_a_line_at_the_beginning_and_one_every_30_seconds(clock, capsys):
    with progress.Bar('predict', 1200, done=200) as bar:
        assert capsys.readouterr().out == 'predict: 1,200 images, 200 of them done before\n'
        told = []
        for _ in range(10):
            clock.seconds += 11
            bar.update(100, lambda: '3 bad')
            told.append(capsys.readouterr().out)
    assert told == ['', '', 'predict: image 500 of 1,200, 3 bad\n', '', '',
                    'predict: image 800 of 1,200, 3 bad\n', '', '',
                    'predict: image 1,100 of 1,200, 3 bad\n', '']
    assert bar.done == bar.total


def test_what_is_not_to_be_shown_says_nothing(clock, capsys):
    with progress.Bar('verify', 1, shown=False) as bar:
        clock.seconds += 100
        bar.update()
    assert capsys.readouterr() == ('', '')


def test_on_a_terminal_there_is_a_bar_alone(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr('sys.stderr', terminal)
    with progress.Bar('evaluate', 2) as bar:
        bar.update(2, lambda: 'a note')
    assert 'evaluate: 100%' in terminal.getvalue()
    assert 'a note' in terminal.getvalue()
    assert capsys.readouterr().out == ''
