import csv
import functools
import importlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.data.sources import generated
from bsce_tf.errors import InputError
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.models import classifier
from bsce_tf.report import predictions
from bsce_tf.report.report import report
from bsce_tf.training import train, workdir
from tests.report.report_page import Page, check

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which(
    'google-chrome')
ROOT = pathlib.Path(__file__).parents[2]
HOSTILE = ('<script>alert(1)</script>', '"><img src=http://x.test/a onerror=alert(2)>',
           "O'Neil & sons", 'ünï © 商品', 'a' * 120, 'not in the test set')


def settings(**fields):
    config = importlib.import_module('configs.smoke').get_config()
    config.update_from_flattened_dict(fields)
    return config


@pytest.fixture(scope='module')
def config():
    return settings(**{'epochs': 2, 'batch_size': 24, 'averaging.ema': 0.5})


@pytest.fixture(scope='module')
def trained(tmp_path_factory, config):
    """A run of two stages on generated images, with eval.json."""
    folder = tmp_path_factory.mktemp('trained') / 'stages'
    config.stages = ({}, {'epochs': 1, 'loss.name': 'sce', 'optimizer.learning_rate': 1e-3})
    train.train(config, folder)
    evaluate(config, folder)
    return folder


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    """A run of one epoch on files, without eval.json.

    Class names are hostile, one class is not in the test set and one test image is no image.
    """
    folder = tmp_path_factory.mktemp('hostile')
    splits = generated.load()
    for name, examples in (('train', splits.train.subset(np.arange(0, 144, 6))),
                           ('test', splits.test.subset(np.flatnonzero(splits.test.labels < 5)))):
        with open(folder / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['image', 'label'])
            for i, label in enumerate(examples.labels):
                path = f'<b>{name}</b>-{i:02d}.png'.replace('/', '')
                Image.fromarray(examples.images[i]).resize((90, 70)).save(folder / path)
                rows.writerow([path, HOSTILE[label]])
    (folder / '<b>test<b>-03.png').write_bytes(b'no image')
    (folder / 'classes.json').write_text(json.dumps(HOSTILE), encoding='utf-8')
    config = settings(**{
        'batch_size': 8, 'data.source': 'csv', 'data.root': str(folder),
        'data.train': str(folder / 'train.csv'), 'data.test': str(folder / 'test.csv'),
        'data.classes': str(folder / 'classes.json'), 'data.validation_fraction': 0.3,
        'data.cache': 'off', 'data.on_error': 'stop'})
    train.train(config, folder / 'run')
    return folder / 'run'


@pytest.fixture
def stages(tmp_path, trained):
    """A copy of the first run, which the test may change."""
    shutil.copytree(trained, tmp_path / 'stages', ignore=shutil.ignore_patterns(
        'checkpoints', 'tensorboard', 'report.html'))
    return tmp_path / 'stages'


def independent_answers(folder):
    """(labels, predictions, probabilities) of the generated test set, without the pipeline."""
    run, test = workdir.read(folder), generated.load().test
    model = classifier.make_model(run.config, 6, 3)
    classifier.load_weights(model, run.weights)
    resized = tf.image.resize(test.images, (26, 26)).numpy()
    crops = np.floor(resized + 0.5)[:, 1:25, 1:25]
    logits = model.predict(crops, verbose=0).astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return test.labels, logits.argmax(axis=1), odds / odds.sum(axis=1, keepdims=True)


def rows_of(page, caption):
    """Cells of the table whose caption begins so."""
    text = page[page.index(f'<caption><span>{caption}'):]
    rows = re.findall(r'<tr>(.*?)</tr>', text[:text.index('</table>')])
    return [[re.sub('<[^>]*>', '', cell).replace('▾', '').strip()
             for cell in re.findall(r'<t[hd].*?</t[hd]>', row)] for row in rows]


def test_a_run_becomes_a_page(trained, config):
    path = report(config, trained)
    assert path == trained / 'report.html'
    page, text = check(path), path.read_text(encoding='utf-8')
    told = json.loads((trained / 'eval.json').read_text())
    head, row = rows_of(text, 'Errors of the runs')
    cells = dict(zip(head, row, strict=True))
    assert (cells['run'], cells['loss']) == ('stages', 'bsce → sce')
    for name, key in (('mean top-1', 'mean_top1_error'), ('top-1', 'top1_error'),
                      ('head', 'head_error'), ('medium', 'medium_error'), ('tail', 'tail_error')):
        assert cells[name] == f'{told[key]:.4f}'
    assert (cells['set'], cells['images']) == ('test', str(told['images']))
    for caption, key in (('Errors by test scale', 'scales'), ('Errors of each kind', 'weights')):
        assert len(told[key]) > 1
        assert [row[1:4] for row in rows_of(text, caption)[1:]] == [
            [name, f'{errors["mean_top1_error"]:.4f}', f'{errors["top1_error"]:.4f}']
            for name, errors in told[key].items()]
    # every metric has a chart and every number is there
    history = list(csv.DictReader((trained / 'metrics.csv').read_text().splitlines()))
    for title in ('Loss', 'Mean top-1 error', 'Learning rate'):
        assert f'{title} by epoch' in page.text
    head, *rows = rows_of(text, 'metrics.csv of stages')
    assert head == list(history[0])
    for shown, row in zip(rows, history, strict=True):
        assert shown[head.index('val_mean_top1_error')] == (
            f'{float(row["val_mean_top1_error"]):.4f}')
    assert page.text.count('stage 1') >= 3
    assert ('seed', '0') in [tuple(row) for row in rows_of(text, 'Fields of config.json')]


def test_pairs_and_surest_equal_an_independent_count(trained, config):
    text = report(config, trained).read_text(encoding='utf-8')
    labels, predicted, odds = independent_answers(trained)
    matrix = np.zeros((6, 6), int)
    np.add.at(matrix, (labels, predicted), 1)
    both = np.triu(matrix + matrix.T, 1)
    expected = {(a, b): both[a, b] for a, b in zip(*np.nonzero(both > 1), strict=True)}
    single = (both == 1).sum()
    assert ('one mistake each' in text) == (single > 0)
    assert expected
    shown = re.findall(r'data-pair="(\d+),(\d+)".*?>(\d+) mistakes?<', text)
    assert {(min(int(a), int(b)), max(int(a), int(b))): int(n) for a, b, n in shown} == expected
    numbers = [int(n) for _, _, n in shown]
    assert numbers == sorted(numbers, reverse=True)
    names = generated.load().test.class_names
    for a, b, _ in shown:
        a, b = int(a), int(b)
        assert f'{names[a]}: {matrix[a, b]} of 8 ({100 * matrix[a, b] / 8:.0f} %)' in text
    wrong = np.flatnonzero(predicted != labels)
    sure = np.sort(odds[wrong, predicted[wrong]])[::-1][:24]
    alts = [image['alt'] for image in Page(text).all('img')]
    for i in wrong[np.argsort(-odds[wrong, predicted[wrong]])][:24]:
        place = alts.index(f'{names[labels[i]]}, predicted as {names[predicted[i]]}: image {i}')
        example = re.fullmatch(r'(.*), (images that are right|other images of it): image (\d+)',
                               alts[place + 1])
        assert example[1] == names[predicted[i]] == names[labels[int(example[3])]]
    shown = [float(p) for p in re.findall(r'<span>probability ([\d.]+)</span>', text)]
    np.testing.assert_allclose(shown, sure, atol=2e-3)
    errors = [1 - matrix[k, k] / 8 for k in range(6)]
    head, *rows = rows_of(text, 'Classes with the highest errors')
    assert [float(row[1]) for row in rows] == sorted((e for e in errors if e), reverse=True)


def test_the_answers_are_kept_until_something_changes(stages, config, monkeypatch):
    answers = functools.partial(predictions.of_run, devices=tf.distribute.get_strategy())
    first = report(config, stages).read_text(encoding='utf-8')
    with monkeypatch.context() as patch:
        patch.setattr(predictions, '_predict', None)
        assert report(config, stages).read_text(encoding='utf-8') == first
        run = workdir.read(stages)
        with pytest.raises(TypeError):  # other weights: `_predict` is called
            answers(run._replace(weights=stages / 'ema.weights.h5'), generated.load().test)
        with pytest.raises(TypeError):  # other data
            answers(run, generated.load().validation)
        with pytest.raises(TypeError):  # other logits
            answers(run, generated.load().test, tau=0.5)
    kept = answers(workdir.read(stages), generated.load().test)
    (stages / predictions.CACHE).write_bytes(b'damaged')
    made = answers(workdir.read(stages), generated.load().test)
    (stages / predictions.CACHE).unlink()
    (stages / predictions.CACHE).mkdir()  # cannot be written, as on a disk that is read-only
    again = answers(workdir.read(stages), generated.load().test)
    (stages / predictions.CACHE).rmdir()
    for a, b, c in zip(kept, made, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_hostile_names_a_bad_image_and_missing_things_are_shown(hostile, config):
    path = report(config, hostile)
    page = check(path)
    text = path.read_text(encoding='utf-8')
    assert '<script>alert(1)</script>' in page.text
    assert '&lt;script&gt;alert(1)&lt;/script&gt;' in text
    assert 'no eval.json' in page.text
    assert '1 class has no image in the test set' in page.text
    assert '1 image of the test set could not be read' in page.text
    assert rows_of(text, 'bad_images.csv: 1 image')[1][0] == '&lt;b&gt;test&lt;b&gt;-03.png'
    images = page.all('img')
    assert images
    assert all(image['src'].startswith('data:image/jpeg;base64,') for image in images)
    shown = rows_of(text, 'Errors of the runs')[1]
    assert shown[3:5] == ['test', '39']  # 5 classes of 8, but for one
    answers = np.load(hostile / predictions.CACHE)
    assert answers['good'].sum() == 39
    assert not answers['good'][3]


def test_several_runs_on_one_page(stages, hostile, config):
    (stages / 'eval.json').write_text(json.dumps({
        **json.loads((stages / 'eval.json').read_text()),
        'scales': {'24': {'mean_top1_error': 0.25, 'top1_error': 0.5},
                   'tta': {'mean_top1_error': 0.125, 'top1_error': None}}}))
    (stages / 'ensemble.json').write_text(json.dumps({
        'models': [{'folder': 'x/<i>', 'mean_top1_error': 0.5}], 'vote': {'mean_top1_error': 0.25},
        'mean': {'mean_top1_error': 0.375}}))
    config.report.output = str(stages / 'both.html')
    path = report(config, f'{stages}, {hostile}')
    config.report.output = ''
    page = check(path)
    text = path.read_text(encoding='utf-8')
    assert [row[0] for row in rows_of(text, 'Errors of the runs')] == ['run', 'stages', 'run']
    assert rows_of(text, 'Errors by test scale')[1:] == [
        ['stages', '24', '0.2500', '0.5000'], ['stages', 'tta', '0.1250', '–']]
    assert rows_of(text, 'Errors of several models')[1:] == [
        ['x/&lt;i&gt;', '0.5000'], ['top-1 vote', '0.2500'], ['mean probability', '0.3750']]
    caption = re.search(r'\d+ fields that differ', text).group(0)
    differing = {row[0]: row[1:] for row in rows_of(text, caption)}
    assert differing['data.source'] == ['&#x27;generated&#x27;', '&#x27;csv&#x27;']
    assert 'seed' not in differing
    assert len(page.all('section')) == 5


def test_a_stale_eval_json_is_noticed(stages, config):
    told = json.loads((stages / 'eval.json').read_text())
    told['mean_top1_error'] = found = told['mean_top1_error'] - 1e-5  # an image of many
    (stages / 'eval.json').write_text(json.dumps(told))
    text = check(report(config, stages)).text
    assert f'eval.json tells a mean top-1 error of {found:.6f}, and this report found' in text


def test_answers_are_adjusted_as_the_run_was_evaluated(stages, config):
    data = json.loads((stages / 'data.json').read_text())
    data['counts'] = [2 ** (12 - k) for k in range(6)]
    (stages / 'data.json').write_text(json.dumps(data))
    other = config.copy_and_resolve_references()
    other.adjust.tau = 1.5
    evaluate(other, stages)
    text = check(report(config, stages)).text
    assert 'adjusted with τ = 1.5' in text
    assert 'eval.json tells' not in text
    labels, plain, probabilities = independent_answers(stages)
    prior = np.log(np.array(data['counts']) / sum(data['counts']))
    expected = (np.log(probabilities) - 1.5 * prior).argmax(axis=1)
    with np.load(stages / 'report_cache.npz') as found:
        np.testing.assert_array_equal(found['predicted'], expected)
    assert (expected != plain).any()
    other.update_from_flattened_dict({'adjust.tau': 0.0, 'data.noise': 0.5})
    evaluate(other, stages)
    text = check(report(config, stages)).text
    assert 'eval.json is of other data than its own (data.noise = 0.5)' in text
    assert 'adjusted with' not in text


def test_data_that_is_gone_is_said(hostile, tmp_path, config):
    shutil.copytree(hostile, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    path = tmp_path / 'run' / 'config.json'
    path.write_text(path.read_text().replace('test.csv', 'gone.csv'))
    (tmp_path / 'run' / 'metrics.csv').unlink()
    text = Page(report(config, tmp_path / 'run').read_text(encoding='utf-8')).text
    assert 'its data cannot be read' in text
    assert 'gone.csv' in text
    assert 'no metrics.csv' in text


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('metrics.csv', 'epoch,loss\n1,2\n', 'metrics.csv: found the columns epoch, loss; expected s'),
    ('metrics.csv', 'stage,epoch,loss\n0,1,abc\n', "line 2: found 'abc' as loss; expected a num"),
    ('metrics.csv', 'stage,epoch,loss\n0,1\n', 'line 2 has fewer cells'),
    ('metrics.csv', 'stage,epoch,loss\n0,1,2,3\n', 'line 2 has more cells'),
    ('metrics.csv', 'stage,epoch\n0,1.5\n', "epoch '1.5'; expected whole numbers"),
    ('metrics.csv', 'stage,epoch\n0,\n', "epoch ''; expected whole numbers"),
    ('metrics.csv', b'\xff\xfe\x00', 'metrics.csv: .*expected a CSV file that a run wrote'),
    ('eval.json', '{', 'eval.json: .*expected JSON that --mode=evaluate wrote'),
    ('eval.json', '[]', 'eval.json: found a list; expected a JSON object'),
    ('eval.json', '{"adjust_tau": "1"}', "eval.json: found '1' as adjust_tau; expected a number"),
    ('eval.json', '{"other_data": 1}', 'eval.json: found 1 as other_data; expected a JSON object'),
    ('eval.json', '{"top1_error": 7}', 'eval.json: found 7 as top1_error; expected a number from'),
    ('eval.json', '{"scales": {"24": 3}}', "eval.json: found {'24': 3} as scales"),
    ('bad_images.csv', 'a,b\n1,2\n', 'bad_images.csv: found the columns a, b; expected path and')])
def test_damaged_files_are_named(stages, config, name, content, message):
    (stages / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        report(config, stages)
    assert '\n' not in str(error.value)
    assert not (stages / 'report.html').exists()


def test_folders_that_are_no_runs(stages, tmp_path, config):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty has no config.json; expected the folder of a'):
        report(config, f'{stages},{tmp_path / "empty"}')
    with pytest.raises(InputError, match='comes twice'):
        report(config, f'{stages},{stages}/')
    with pytest.raises(InputError, match='with one comma between'):
        report(config, f'{stages},,')
    fields = config.copy_and_resolve_references()
    fields.report.output = str(tmp_path)
    with pytest.raises(InputError, match='report.output: .* is a folder'):
        report(fields, stages)
    fields.report.output = str(stages / 'eval.json' / 'page.html')
    with pytest.raises(InputError, match='report.output: .*expected a file that can be written'):
        report(fields, stages)


def test_the_program_says_it_in_one_line(tmp_path):
    found = subprocess.run([sys.executable, 'main.py', '--mode=report', f'--workdir={tmp_path}'],
                           cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert found.returncode == 2
    assert f'error: --workdir: {tmp_path} has no config.json' in found.stderr
    assert 'Traceback' not in found.stderr


def chromium(folder, page, *flags):
    return subprocess.run(
        [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--enable-logging=stderr', '--v=0', '--virtual-time-budget=4000',
         f'--user-data-dir={folder / "profile"}', *flags, page.as_uri()],
        capture_output=True, text=True, timeout=90)


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium is installed')
def test_a_browser_shows_it_without_an_error(stages, hostile, config, tmp_path):
    config.report.output = str(tmp_path / 'page.html')
    page = report(config, f'{hostile},{stages}')
    config.report.output = ''
    # The page in frames of a phone's and a desk's width, and what a browser makes of it.
    text = json.dumps(page.read_text(encoding='utf-8')).replace('<', '\\u003c')
    (tmp_path / 'frames.html').write_text('''<!DOCTYPE html><meta charset="utf-8"><body><script>
      const found = [];
      for (const width of [360, 1200]) {
        const frame = document.createElement('iframe');
        frame.style = `width:${width}px;height:800px;border:0`;
        frame.onload = () => {
          const inner = frame.contentDocument, root = inner.documentElement;
          const whole = [...inner.images].filter(image => image.naturalWidth > 0);
          found.push([width, root.scrollWidth, whole.length, inner.querySelectorAll('svg').length,
            inner.scripts.length, inner.querySelector('h1').getBoundingClientRect().height > 0]);
          document.title = JSON.stringify(found);
        };
        frame.srcdoc = TEXT;
        document.body.append(frame);
      }</script>'''.replace('TEXT', text), encoding='utf-8')
    found = chromium(tmp_path, tmp_path / 'frames.html', '--dump-dom')
    shown = json.loads(re.search(r'<title>(.*?)</title>', found.stdout).group(1))
    parsed = Page(page.read_text(encoding='utf-8'))
    expected = [len(parsed.all('img')), len(parsed.all('svg')), 0, True]
    assert sorted(row[0] for row in shown) == [360, 1200]
    for width, wide, *rest in shown:
        assert wide <= width, 'the page scrolls sideways'
        assert rest == expected
    direct = chromium(tmp_path, page, '--dump-dom', f'--screenshot={tmp_path / "page.png"}',
                      '--window-size=1000,800')
    assert 'Report of 2 runs' in direct.stdout
    seen = np.asarray(Image.open(tmp_path / 'page.png').convert('L'))
    assert seen.shape == (800, 1000)
    assert 0.005 < (np.abs(seen - np.median(seen)) > 30).mean() < 0.5  # text on a plain ground
    for result in (found, direct):
        assert 'CONSOLE' not in result.stderr, result.stderr
