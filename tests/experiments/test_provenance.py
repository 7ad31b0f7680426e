import subprocess

from experiments import provenance


def test_rows_that_a_program_wrote_are_no_changes_of_the_code(tmp_path, monkeypatch):
    def git(*command):
        subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *command],
                       cwd=tmp_path, check=True, capture_output=True)

    for name in ('results/table.csv', 'experiments/program.py'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text('a')
    git('init')
    git('add', '.')
    git('commit', '-m', 'a')
    monkeypatch.setattr(provenance, '__file__', str(tmp_path / 'experiments' / 'program.py'))
    (tmp_path / 'results' / 'table.csv').write_text('b')
    assert '+changes' not in provenance.provenance()['commit']
    (tmp_path / 'experiments' / 'program.py').write_text('b')
    assert provenance.provenance()['commit'].endswith('+changes')
