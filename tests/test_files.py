import csv
import io
import pathlib

from bsce_tf import files


def test_rows_can_be_read_back_whatever_is_in_them_and_end_with_a_line_feed():
    rows = [['a\rb', 'c\nd', 'e\r\nf', '"', ',', '', ' g ', '\r'], ['1', '2']]
    text = io.StringIO()
    files.csv_writer(text).writerows(rows)
    assert text.getvalue().endswith('\n1,2\n')
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=''))) == rows


def test_there_is_one_cache_folder(monkeypatch):
    for name in ('BSCE_TF_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', '/home/a')
    assert files.cache_folder() == pathlib.Path('/home/a/.cache/bsce_tf')
    monkeypatch.setenv('XDG_CACHE_HOME', '/scratch')
    assert files.cache_folder() == pathlib.Path('/scratch/bsce_tf')
    monkeypatch.setenv('BSCE_TF_CACHE', '/models')
    assert files.cache_folder() == pathlib.Path('/models')
