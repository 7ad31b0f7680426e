import csv
import functools
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data.sources import generated
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.models import classifier
from bsce_tf.report import predictions
from bsce_tf.report.report import report
from bsce_tf.training import workdir
from tests.report.report_page import Page, check


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


def test_pairs_and_most_confident_equal_an_independent_count(trained, config):
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
        example = re.fullmatch(r'(.*), (correct predictions|other images of it): image (\d+)',
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
    assert f'eval.json has a mean top-1 error of {found:.6f}, and this report found' in text


def test_answers_are_adjusted_as_the_run_was_evaluated(stages, config):
    data = json.loads((stages / 'data.json').read_text())
    data['counts'] = [2 ** (12 - k) for k in range(6)]
    (stages / 'data.json').write_text(json.dumps(data))
    other = config.copy_and_resolve_references()
    other.adjust.tau = 1.5
    evaluate(other, stages)
    text = check(report(config, stages)).text
    assert 'adjusted with τ = 1.5' in text
    assert 'eval.json has' not in text
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
