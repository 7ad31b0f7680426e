"""Predictions in parts, against those of one process."""

import csv
import pathlib
import shutil

import pytest

from bsce_tf import locks
from bsce_tf.errors import InputError
from bsce_tf.evaluation.predict import predict
from tests.evaluation.stopping import killed_after


@pytest.fixture
def settings(config, pictures, tmp_path):
    """48 pictures, of which two are broken, in batches of seven."""
    folder = tmp_path / 'pictures'
    shutil.copytree(pictures / 'test', folder)
    for name in ('05.png', '40.png'):
        (folder / name).write_bytes((folder / name).read_bytes()[:-40])  # with a good header
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({
        'predict.input': str(folder), 'predict.output': str(tmp_path / 'out' / 'p.csv'),
        'predict.top_k': 2, 'batch_size': 7, 'data.on_error': 'skip'})
    return config


def run_part(settings, run, part):
    settings.part = part
    predict(settings, str(run))


def bad_in(folder):
    with open(folder / 'p_bad_images.csv', newline='') as file:
        return sorted(row['path'] for row in csv.DictReader(file))


def test_parts_in_any_order_give_the_bytes_of_one_process(runs, settings, tmp_path, capsys):
    predict(settings, str(runs[0]))
    out = tmp_path / 'out'
    whole, listed = (out / 'p.csv').read_bytes(), bad_in(out)
    shutil.rmtree(out)
    for part in ('2/3', '3/3', '3/3'):
        run_part(settings, runs[0], part)
        assert not (out / 'p.csv').exists()
    assert capsys.readouterr().out.count('p.part-3-of-3.csv: ') == 1  # the second found it done
    with locks.held(out, '.join-p.csv.lock'):
        run_part(settings, runs[0], '1/3')
    assert 'another process joins them' in capsys.readouterr().out
    run_part(settings, runs[0], '1/3')  # which only joins
    assert f'{out / "p.csv"}: 48 images, of 3 parts' in capsys.readouterr().out
    assert (out / 'p.csv').read_bytes() == whole
    assert bad_in(out) == listed == ['05.png', '40.png']
    assert sorted(path.name for path in out.iterdir()) == ['p.csv', 'p_bad_images.csv']


def test_a_stopped_part_goes_on_and_one_of_another_run_is_refused(runs, settings, tmp_path):
    predict(settings, str(runs[0]))
    out = tmp_path / 'out'
    whole = (out / 'p.csv').read_bytes()
    shutil.rmtree(out)

    with killed_after(2):
        run_part(settings, runs[0], '1/2')
    run_part(settings, runs[0], '2/2')
    assert not (out / 'p.csv').exists()
    run_part(settings, runs[0], '1/2')
    assert (out / 'p.csv').read_bytes() == whole

    run_part(settings, runs[0], '1/2')
    with pytest.raises(InputError, match=r'p.part-1-of-2.csv: models differed when it was written'):
        run_part(settings, runs[1], '2/2')
    settings.batch_size = 12
    with pytest.raises(InputError, match='batch_size, models differed when it was written'):
        run_part(settings, runs[0], '2/2')
    settings.batch_size = 7
    for part in ('1/8', '2/8'):
        with pytest.raises(InputError, match=f'part: found {part} of 48 images in batches of 7;'):
            run_part(settings, runs[0], part)


def test_all_parts_together_may_have_so_many_bad_images(runs, settings, tmp_path, monkeypatch):
    from bsce_tf.evaluation import predict as module

    monkeypatch.setattr(module, '_FEW', 1)
    settings.data.max_bad_fraction = 0.0
    run_part(settings, runs[0], '1/2')
    for _ in range(2):
        with pytest.raises(InputError, match='p.csv: 2 bad images; expected at most 1 '):
            run_part(settings, runs[0], '2/2')
    assert not (tmp_path / 'out' / 'p.csv').exists()
    assert (tmp_path / 'out' / 'p.part-1-of-2.csv').exists()


def test_a_join_that_is_killed_loses_no_list(runs, settings, tmp_path, monkeypatch):
    run_part(settings, runs[0], '1/2')
    original, out = pathlib.Path.unlink, tmp_path / 'out'

    def killed(path, **rest):
        original(path, **rest)
        if path.name == 'p.part-1-of-2.csv.json' and (out / 'p.csv').exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, 'unlink', killed)
        with pytest.raises(KeyboardInterrupt):
            run_part(settings, runs[0], '2/2')
    assert bad_in(out) == ['05.png', '40.png']
    whole = (out / 'p.csv').read_bytes()
    for part in ('2/2', '1/2'):
        run_part(settings, runs[0], part)
    assert bad_in(out) == ['05.png', '40.png']
    assert (out / 'p.csv').read_bytes() == whole
    assert sorted(path.name for path in out.iterdir()) == ['p.csv', 'p_bad_images.csv']
