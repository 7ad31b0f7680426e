import json

import pytest

from bsce_tf.errors import InputError
from bsce_tf.evaluation.partial import Rows

HEADER = ['path', 'class_1']
FIRSTS = ['a.jpg', 'b, "c".jpg', 'line\nbreak.jpg', 'caf\udce9.jpg', 'e.jpg']
ROWS = [[first, f'x{i}, y\n'] for i, first in enumerate(FIRSTS)]


def begin(path, firsts=FIRSTS, step=2, **made_of):
    return Rows(path, HEADER, firsts, {'models': ['m'], **made_of}, step)


def finished(path, step=2):
    """What is written in one go from where `begin` starts; also tells where that was."""
    rows = begin(path, step=step)
    start = rows.done
    rows.append(ROWS[start:])
    assert rows.done == len(FIRSTS)
    rows.finish()
    return start, path.read_bytes()


def test_cut_off_at_any_byte_it_ends_the_same(tmp_path):
    _, whole = finished(tmp_path / 'p.csv')
    assert [p.name for p in tmp_path.iterdir()] == ['p.csv']
    assert b'caf\xe9.jpg' in whole
    about = json.dumps({'columns': HEADER, 'models': ['m']})
    starts = []
    for size in range(len(whole) + 1):
        (tmp_path / 'q.csv.partial').write_bytes(whole[:size])
        (tmp_path / 'q.csv.partial.json').write_text(about)
        start, again = finished(tmp_path / 'q.csv')
        assert again == whole, size
        starts.append(start)
    assert starts == sorted(starts)
    assert set(starts) == {0, 2, 4, 5}  # whole steps, or all
    third = whole.index(b'"line')
    assert starts[third - 1:third + 1] == [0, 2]  # a step counts from its last byte on


def test_what_does_not_fit_is_refused_and_stays(tmp_path):
    path, partial = tmp_path / 'p.csv', tmp_path / 'p.csv.partial'
    rows = begin(path)
    rows.append(ROWS[:2])
    rows.close()
    before = partial.read_bytes()
    with pytest.raises(InputError, match='models differed'):
        begin(path, models=['m', 'n'])
    with pytest.raises(InputError, match='its rows are not those of this input'):
        begin(path, firsts=FIRSTS[1:])
    assert partial.read_bytes() == before
    partial.write_bytes(before.replace(b'a.jpg', b'"a".jpg'))  # not as it would be written
    with pytest.raises(InputError, match='its rows are not'):
        begin(path)
    (tmp_path / 'p.csv.partial.json').write_text('[')
    with pytest.raises(InputError, match='p.csv.partial.json is missing or damaged'):
        begin(path)
    assert not path.exists()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match='is a folder; expected a file'):
        begin(tmp_path)
