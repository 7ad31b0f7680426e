import csv
import shutil
import time

import numpy as np
import pytest

from bsce_tf.data.sources import generated
from bsce_tf.errors import InputError
from bsce_tf.evaluation import predictors
from bsce_tf.evaluation.predict import predict
from tests import processes
from tests.evaluation import reference
from tests.evaluation.stopping import KilledError, killed_after
from tests.run_files import rows_of

NAMES = generated.load().test.class_names
FILES = [f'{i:02d}.png' for i in range(48)]


@pytest.fixture
def settings(config, pictures, tmp_path):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({
        'predict.input': str(pictures / 'test'), 'predict.output': str(tmp_path / 'out' / 'p.csv'),
        'predict.top_k': 3, 'batch_size': 7})
    return config


def both(runs):
    return ','.join(map(str, runs))


def test_one_run_on_a_folder_and_the_submission(runs, settings, pictures, tmp_path, capsys):
    predict(settings, str(runs[0]))
    rows = rows_of(tmp_path / 'out' / 'p.csv')
    assert [row['path'] for row in rows] == FILES
    assert list(rows[0]) == ['path', *(f'{g}_{i}' for g in ('class', 'score') for i in (1, 2, 3))]
    p = reference.softmax(reference.logits(runs[0], (24, 28)))
    order = np.argsort(-p, axis=1)
    for i, row in enumerate(rows):
        assert [row[f'class_{j + 1}'] for j in range(3)] == [NAMES[k] for k in order[i, :3]]
        assert [float(row[f'score_{j + 1}']) for j in range(3)] == pytest.approx(
            p[i, order[i, :3]], abs=2e-3)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['p.csv']
    assert 'p.csv: 48 images\n' in capsys.readouterr().out
    settings.predict.format = 'aliproducts'
    settings.predict.input = str(pictures)
    predict(settings, str(runs[0]))
    with open(tmp_path / 'out' / 'p.csv', newline='', encoding='utf-8') as file:
        submission = list(csv.reader(file))
    assert submission[0] == ['id', 'predicted']  # files of test/ come first, then those of train/
    assert submission[1:49] == [[row['path'], row['class_1']] for row in rows]
    assert submission[49][0] == '00.png'


def test_runs_vote(runs, settings, tmp_path):
    settings.predict.top_k = 9  # there are six classes
    predict(settings, both(runs))
    p = np.stack([reference.softmax(reference.logits(folder, scales))
                  for folder, scales in zip(runs, ((24, 28), (21, 25, 23)), strict=True)])
    order = reference.vote_order(p)
    rows = rows_of(tmp_path / 'out' / 'p.csv')
    for i, row in enumerate(rows):
        assert row['class_1'] == NAMES[order[i, 0]]
        assert float(row['score_1']) == pytest.approx(p[:, i].mean(0)[order[i, 0]], abs=2e-3)
        votes = [int(row[f'votes_{j}']) for j in range(1, 7)]
        assert sum(votes) == 2
        assert votes[0] == (p[:, i].argmax(-1) == order[i, 0]).sum()
    assert len(rows) == 48


def test_a_stopped_prediction_goes_on(runs, settings, tmp_path):
    output, partial = (tmp_path / 'out' / name for name in ('p.csv', 'p.csv.partial'))
    predict(settings, str(runs[0]))
    whole = output.read_bytes()
    output.unlink()

    with killed_after(3):
        predict(settings, str(runs[0]))
    lines = partial.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 3 * 7
    assert not output.exists()

    predict(settings, str(runs[0]))
    assert output.read_bytes() == whole
    assert sorted(p.name for p in output.parent.iterdir()) == ['p.csv']


def test_another_partial_file_is_refused(runs, settings, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(predictors.Runs, 'answers', lambda *_: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        predict(settings, str(runs[0]))
    before = (tmp_path / 'out' / 'p.csv.partial').read_bytes()
    with pytest.raises(InputError, match='models differed when it was begun'):
        predict(settings, str(runs[1]))
    with pytest.raises(InputError, match='columns, models differed'):
        predict(settings, both(runs))
    settings.predict.input = str(tmp_path / 'one.txt')
    (tmp_path / 'one.txt').write_text(f'{pictures}/test/{FILES[0]}\n')
    with pytest.raises(InputError, match=r'partial: input, contents differed .* Delete the file'):
        predict(settings, str(runs[0]))
    settings.predict.input = str(shutil.copytree(pictures / 'test', tmp_path / 'input'))
    settings.predict.output = str(tmp_path / 'replaced.csv')
    with pytest.raises(KilledError):
        predict(settings, str(runs[0]))
    shutil.copy(pictures / 'test' / FILES[3], tmp_path / 'input' / FILES[4])
    with pytest.raises(InputError, match='replaced.csv.partial: contents differed'):
        predict(settings, str(runs[0]))
    settings.predict.output = str(tmp_path / 'out' / 'p.csv')
    assert (tmp_path / 'out' / 'p.csv.partial').read_bytes() == before
    (tmp_path / 'out' / 'p.csv.partial.json').unlink()
    with pytest.raises(InputError, match='p.csv.partial.json is missing'):
        predict(settings, str(runs[0]))


def test_killed_from_outside_and_run_again(runs, settings, pictures, tmp_path):
    names = [f'{pictures}/test/{name}\n' for name in FILES] * 10
    (tmp_path / 'list.txt').write_text(''.join(names))
    settings.update_from_flattened_dict({
        'predict.input': f'{tmp_path}/list.txt', 'predict.output': f'{tmp_path}/p.csv',
        'predict.top_k': 5, 'batch_size': 2, 'tta.scales': (24,)})
    process = processes.SERVER.Process(target=processes.program, args=(
        '--mode=predict', f'--workdir={runs[0]}', f'--config.predict.input={tmp_path}/list.txt',
        f'--config.predict.output={tmp_path}/p.csv', '--config.batch_size=2',
        '--config.tta.scales=(24,)'))
    process.start()
    partial, output = tmp_path / 'p.csv.partial', tmp_path / 'p.csv'
    until = time.monotonic() + 120
    while not (partial.exists() and partial.read_bytes().count(b'\n') > 20):
        assert process.is_alive()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.join()
    kept = partial.read_bytes()
    assert 20 <= kept.count(b'\n') - 1 < len(names)
    assert not output.exists()
    predict(settings, str(runs[0]))
    assert output.read_bytes().startswith(kept[:kept.rindex(b'\n')])
    rows = rows_of(output)
    assert [row['path'] + '\n' for row in rows] == names
    for row, again in zip(rows, rows[48:], strict=False):  # the same images ten times
        assert row['class_1'] == again['class_1']
        assert float(row['score_1']) == pytest.approx(float(again['score_1']), abs=2e-6)


def broken(pictures, tmp_path):
    shutil.copytree(pictures / 'test', tmp_path / 'broken')
    for i in (5, 7, 8, 9, 10, 11, 12, 13):  # one batch of nothing else
        (tmp_path / 'broken' / FILES[i]).write_bytes(b'\xff\xd8\xffbroken')
    return tmp_path / 'broken'


def test_bad_images(runs, pictures, settings, tmp_path):
    settings.predict.input = str(broken(pictures, tmp_path))
    with pytest.raises(InputError, match=r'broken: (05|07|08|09|1[0-3]).png') as error:
        predict(settings, str(runs[0]))
    assert '\n' not in str(error.value)
    settings.data.on_error, settings.data.max_bad_fraction = 'skip', 0.2
    predict(settings, str(runs[0]))
    rows = rows_of(tmp_path / 'out' / 'p.csv')
    bad = [5, *range(7, 14)]
    best = reference.logits(runs[0], (24, 28)).argmax(1)
    for i, row in enumerate(rows):
        if i in bad:
            assert row == {**dict.fromkeys(row, ''), 'path': FILES[i]}
        else:
            assert (row['path'], row['class_1']) == (FILES[i], NAMES[best[i]])
    assert len(rows) == 48
    assert [row['path'] for row in rows_of(tmp_path / 'out' / 'p_bad_images.csv')] == [
        FILES[i] for i in bad]


def test_a_small_folder_with_a_bad_file_and_what_a_stopped_prediction_reports(
        runs, pictures, settings, tmp_path, capsys):
    folder = shutil.copytree(runs[0], tmp_path / 'a')
    (tmp_path / 'small').mkdir()
    for name in FILES[:4]:
        shutil.copy(pictures / 'test' / name, tmp_path / 'small')
    (tmp_path / 'small' / FILES[1]).write_text('no image')
    settings.update_from_flattened_dict({
        'predict.input': str(tmp_path / 'small'), 'predict.output': '', 'data.on_error': 'skip',
        'batch_size': 2})

    with killed_after(1):
        predict(settings, folder)
    predict(settings, folder)
    assert 'predictions.csv: 4 images, 1 of them bad: see ' in capsys.readouterr().out
    assert [row['class_1'] == '' for row in rows_of(folder / 'predictions.csv')] == [
        False, True, False, False]
    listed = folder / 'predictions_bad_images.csv'
    assert [row['path'] for row in rows_of(listed)] == [FILES[1]]
    assert not (folder / 'bad_images.csv').exists()  # that is the run's own
    shutil.copy(pictures / 'test' / FILES[1], tmp_path / 'small')
    predict(settings, folder)
    assert not listed.exists()


def test_too_many_bad_images_are_told_before_a_network_is_built(runs, pictures, settings, tmp_path,
                                                                monkeypatch):
    settings.predict.input = str(broken(pictures, tmp_path))
    for i in (20, 21, 22):  # 11 of 48
        (tmp_path / 'broken' / FILES[i]).write_bytes(b'GIF' if i == 20 else b'no image')
    settings.data.on_error, settings.data.max_bad_fraction = 'skip', 0.2
    monkeypatch.setattr(predictors, 'Runs', None)
    with pytest.raises(InputError, match='broken: found 11 bad images of 48; expected at most '
                       'data.max_bad_fraction = 0.2, or 10;'):
        predict(settings, str(runs[0]))


def test_the_output_lies_in_the_first_workdir_and_input_may_be_the_test_set(runs, settings,
                                                                           tmp_path):
    predict(settings, str(runs[0]))
    files = rows_of(tmp_path / 'out' / 'p.csv')
    folder = shutil.copytree(runs[0], tmp_path / 'a')
    settings.predict.input = settings.predict.output = ''
    predict(settings, folder)
    memory = rows_of(folder / 'predictions.csv')
    assert [row.pop('path') for row in memory] == [f'image {i}' for i in range(48)]
    assert memory == [{k: v for k, v in row.items() if k != 'path'} for row in files]
