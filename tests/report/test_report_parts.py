"""Parts of the report that need no run: counting, pictures, text."""

import re
import types

import numpy as np

from bsce_tf.data.examples import Examples
from bsce_tf.fields import stored
from bsce_tf.report import curves, markup, mistakes, predictions, scatter


def answers_of(labels, predicted, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.random(len(labels)).astype(np.float32)
    return predictions.Predictions(predicted.astype(np.int32), probability, 1 - probability,
                                   np.ones(len(labels), bool))


def test_fifty_thousand_classes():
    rng, size = np.random.default_rng(0), 50_030
    counts = np.maximum(8000 * np.arange(1, size + 1.0) ** -0.62, 1).astype(int)
    labels = rng.permutation(np.repeat(np.arange(size, dtype=np.int32), 3))
    predicted = np.where(rng.random(len(labels)) < 0.3, rng.integers(0, size, len(labels)), labels)
    predicted[labels == 4] = 50_029  # three images; one of the other class comes back
    predicted[np.flatnonzero(labels == 50_029)[:1]] = 4
    said = answers_of(labels, predicted)
    classes = mistakes.by_class(labels, said, counts)
    assert mistakes.pairs(labels, said, size, 1)[0] == [mistakes.Pair(4, 50_029, 3, 1)]
    picture = scatter.draw(classes, [f'class {k}' for k in range(size)], 'Density')
    assert len(picture) < 200_000
    cells = [int(n.replace(',', '')) for n in re.findall(r'>([\d,]+) class(?:es)?, error', picture)]
    assert sum(cells) == size
    assert f'{mistakes.summary(classes)["top1_error"]:.6f}' == (
        f'{np.mean(predicted != labels):.6f}')


def test_what_is_not_finite_or_bad_counts_as_it_should():
    labels = np.array([0, 0, 1, 1, 2])
    said = answers_of(labels, np.array([-1, 1, 1, 0, 0]))._replace(
        good=np.array([True, True, True, True, False]))
    classes = mistakes.by_class(labels, said, [5, 3, 2, 0])
    np.testing.assert_array_equal(classes.error, [1, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(classes.group, [0, 1, 2, -1])
    assert mistakes.pairs(labels, said, 4, 9) == ([mistakes.Pair(0, 1, 1, 1)], 0)
    once = said._replace(predicted=np.array([0, 0, 1, 0, 0], np.int32))
    assert mistakes.pairs(labels, once, 4, 9) == ([], 1)
    assert set(mistakes.most_confident(labels, said, 9)) == {1, 3}
    assert mistakes.worst(classes, 9).tolist() == [0, 1]
    assert mistakes.usual_mistake(labels, said, 2) is None


def test_curves_of_many_epochs_and_of_one():
    values = np.sin(np.arange(5000.0))
    values[1234], values[2345] = 9.0, -9.0
    places = curves.thin(values, 300)
    assert len(places) <= 302
    assert {0, 1234, 2345, 4999} <= set(places.tolist())
    one = [{'stage': 0.0, 'epoch': 1.0, 'loss': 2.5, 'val_swa_loss': float('nan')}]
    picture = str(curves.charts([one], ['x'])[0])
    assert 'epoch 1: 2.5' in picture
    assert 'nan' not in picture
    nothing = curves.charts([[{'stage': 0.0, 'epoch': 1.0, 'loss': float('nan')}]], ['<b>'])
    assert 'no finite value' in nothing[0]


def test_markup_escapes_all_that_is_not_markup():
    made = markup.element('p', '<b>', markup.element('i', '"&'), None, title='"><x')
    assert made == '<p title="&quot;&gt;&lt;x">&lt;b&gt;<i>&quot;&amp;</i></p>'
    assert markup.escape('a\x00\u202eb\ud800') == 'a\ufffd\ufffdb\ufffd'
    assert [markup.rate(x) for x in (0.12345, None, float('nan'))] == ['0.1235', '–', '–']


def test_nested_configs_are_told_by_dotted_names():
    assert stored.flat({'a': {'b': 1, 'c': {'d': [2]}}, 'e': ()}) == {
        'a.b': 1, 'a.c.d': [2], 'e': ()}


def test_predictions_that_were_kept_are_not_those_of_images_that_were_replaced(tmp_path):
    for name in ('weights', '1.png', '2.png'):
        (tmp_path / name).write_bytes(b'first')
    examples = Examples([0, 0], ('a', 'b'), paths=np.array(['1.png', '2.png'], 'S'),
                        root=str(tmp_path))
    run = types.SimpleNamespace(config=dict.fromkeys(('image', 'model', 'data', 'precision')),
                                weights=tmp_path / 'weights')
    mark = predictions._mark(run, examples, 0.0)
    assert predictions._mark(run, examples, 0.0) == mark
    (tmp_path / '2.png').write_bytes(b'other')
    assert predictions._mark(run, examples, 0.0) != mark


def test_a_learning_rate_that_never_changes_is_a_sentence():
    rows = [{'stage': 0.0, 'epoch': float(i), 'learning_rate': 0.1, 'loss': 1.0 / i}
            for i in (1, 2, 3)]
    assert 'Learning rate by epoch' not in str(curves.charts([rows, rows], ['x', 'y']))
    assert 'Learning rate: 0.1 throughout.' in curves.constant_rate([rows, rows])
    other = [{**row, 'learning_rate': 0.01} for row in rows]
    assert 'Learning rate by epoch' in str(curves.charts([rows, other], ['x', 'y']))
    assert curves.constant_rate([rows, other]) is None
    assert curves.constant_rate([[{'stage': 0.0, 'epoch': 1.0, 'loss': 1.0}]]) is None
