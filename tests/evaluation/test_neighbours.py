"""Indexes of two small runs: made, searched and measured, against NumPy in float64."""

import csv
import shutil

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bsce_tf.data import prepare
from bsce_tf.errors import InputError
from bsce_tf.evaluation.neighbours import build, predictor
from bsce_tf.evaluation.neighbours.measure import evaluate
from bsce_tf.evaluation.predict import predict
from bsce_tf.index import stored
from tests.evaluation import reference
from tests.evaluation.indexes import NAMES, Pixels, both, changed, vectors_of


@pytest.fixture(scope='module')
def settings(config, runs, tmp_path_factory):
    """Config whose index, of both runs and of the generated training set, is there."""
    place = tmp_path_factory.mktemp('indexes') / 'both'
    found = changed(config, index__folder=str(place), neighbours__k=7,
                    evaluate__depth=20, predict__by='both')
    build.build(found, both(runs))
    return found


@pytest.fixture(scope='module')
def measured(settings, runs):
    """neighbours.json of an evaluation of both runs."""
    return evaluate(settings, both(runs))


@pytest.fixture(scope='module')
def expected(config, runs):
    """(cosines `[48, n]` of test images and the index, labels of both), by NumPy."""
    splits = prepare.load(**config.data, seed=config.seed)
    gallery, queries = (vectors_of(runs, part.images) for part in (splits.train, splits.test))
    return queries @ gallery.T, splits.train.labels, splits.test.labels


def test_an_index_has_the_vectors_of_numpy_and_tells_where_they_are_from(settings, runs, expected):
    index = stored.read(settings.index.folder)
    splits = prepare.load(**settings.data, seed=settings.seed)
    held = np.concatenate(list(index.blocks()))
    np.testing.assert_allclose(held, vectors_of(runs, splits.train.images), atol=2e-3)
    assert [index.rows.class_names[k] for k in index.rows.labels] == [
        NAMES[k] for k in splits.train.labels]
    assert [path.decode() for path in index.rows.paths] == [
        splits.train.name(i) for i in range(len(splits.train))]


def test_measures_are_those_of_numpy(measured, expected, runs):
    cosines, gallery, labels = expected
    order = np.argsort(-cosines, axis=1)
    same = gallery[order] == labels[:, None]
    found = measured['classes']['all']
    assert found['retrieval']['recall_at_1'] == pytest.approx(same[:, 0].mean(), abs=0.03)
    assert found['retrieval']['recall_at_5'] == pytest.approx(same[:, :5].any(1).mean(), abs=0.03)
    depth = np.minimum(np.bincount(gallery)[labels], 20)
    precision = [sum(same[i, :r].mean() * same[i, r - 1] for r in range(1, depth[i] + 1)) / depth[i]
                 for i in range(len(labels))]
    assert found['retrieval']['mean_average_precision'] == pytest.approx(
        np.mean(precision), abs=0.01)
    votes = np.zeros((len(labels), 6))
    for i in range(len(labels)):
        for j in order[i, :7]:
            votes[i, gallery[j]] += np.exp(cosines[i, j] / 0.07)
    votes /= votes.sum(1, keepdims=True)
    probabilities = np.mean([reference.softmax(reference.logits(folder, scales)) for folder, scales
                             in zip(runs, ((24, 28), (21, 25, 23)), strict=True)], axis=0)
    for by, scores in (('classifier', probabilities), ('neighbours', votes),
                       ('both', 0.5 * votes + 0.5 * probabilities)):
        wrong = np.argmax(scores, 1) != labels
        error = np.mean([wrong[labels == k].mean() for k in range(6)])
        assert found[by]['mean_top1_error'] == pytest.approx(error, abs=0.03), by
    assert measured['classes']['seen'] == found
    assert measured['classes']['unseen'] is None


def test_the_open_set_is_measured_on_other_classes(measured, settings, runs):
    splits = prepare.load(**settings.data, seed=settings.seed)
    gallery, queries = (vectors_of(runs, part.images)
                        for part in (splits.train, splits.validation))
    cosines = queries @ gallery.T
    same = splits.train.labels == splits.validation.labels[:, None]
    known, unknown = cosines.max(1), np.where(same, -1, cosines).max(1)
    found = measured['open_set']
    assert found['unknown'] == 'own class left out'
    assert found['validation']['known'] == len(known) == found['validation']['unknown']
    expected = sklearn_metrics.roc_auc_score(np.r_[np.ones(len(known)), np.zeros(len(known))],
                                             np.r_[known, unknown])
    assert found['validation']['auroc'] == pytest.approx(expected, abs=0.01)
    assert found['validation']['false_accepts'] <= 0.05
    allowed = int(0.05 * len(unknown))
    assert found['threshold'] == pytest.approx(np.sort(unknown)[::-1][allowed], abs=1e-3)
    for name in ('neighbours.json', 'neighbours.md', 'neighbours.csv'):
        assert (runs[0] / name).exists()


def test_predictions_name_the_nearest_image(settings, runs, pictures, tmp_path, expected):
    output = tmp_path / 'p.csv'
    config = changed(settings, predict__output=str(output), predict__input=str(pictures / 'test'),
                     predict__top_k=2, neighbours__reject=float(np.median(expected[0].max(axis=1))))
    predict(config, both(runs))
    with open(output, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ['path', 'class_1', 'class_2', 'score_1', 'score_2', 'in_catalogue',
                             'similarity', 'nearest_class', 'nearest_path', 'nearest_id']
    cosines, gallery, _ = expected
    limit = config.neighbours.reject
    for i, row in enumerate(rows):
        nearest = cosines[i].argmax()
        assert float(row['similarity']) == pytest.approx(cosines[i, nearest], abs=2e-3)
        assert cosines[i, int(row['nearest_id'])] > cosines[i, nearest] - 2e-3
        assert row['nearest_class'] == NAMES[gallery[int(row['nearest_id'])]]
        if abs(float(row['similarity']) - limit) > 1e-5:  # six digits are written
            assert (row['in_catalogue'] == 'yes') == (float(row['similarity']) > limit)
        assert (row['class_1'] == '') == (row['in_catalogue'] == 'no')
    assert {row['in_catalogue'] for row in rows} == {'yes', 'no'}


def test_refusals(settings, runs, tmp_path, monkeypatch):
    alone = changed(settings, neighbours__k=3)
    with pytest.raises(InputError, match=r'made with 2 run\(s\), and --workdir names 1'):
        evaluate(alone, runs[0])
    with pytest.raises(InputError, match='made with 2 run'):
        build.build(alone, runs[0])
    fingerprints = stored.read_about(stored.pathlib.Path(settings.index.folder))['models']
    monkeypatch.setattr(predictor, 'Embedder', lambda *arguments: Pixels(*arguments))
    with pytest.raises(InputError, match='other runs, weights or test scales'):
        predict(settings, both(runs))
    monkeypatch.setattr(Pixels, '__init__', lambda self, runs, *_: self.__dict__.update(
        fingerprints=fingerprints, accepted=[[known] for known in fingerprints],
        class_names=runs[0].class_names))
    with pytest.raises(InputError, match='neighbours.k: found 999; expected at most'):
        predict(changed(settings, neighbours__k=999), both(runs))
    with pytest.raises(InputError, match='holds no index.json'):
        evaluate(changed(settings, index__folder=str(tmp_path / 'none')), both(runs))
    with pytest.raises(InputError, match='index.input: .* is no folder and no table'):
        build.build(changed(settings, index__input=str(tmp_path / 'none')), both(runs))
    with pytest.raises(InputError, match='found both with predict.model'):
        predict(changed(settings, predict__model='x'), both(runs))
    place = tmp_path / 'copy'
    shutil.copytree(settings.index.folder, place)
    (place / 'threshold.json').unlink(missing_ok=True)
    with pytest.raises(InputError, match='neighbours.reject: auto, but'):
        predict(changed(settings, index__folder=str(place), neighbours__reject='auto',
                        predict__output=str(tmp_path / 'p.csv')), both(runs))
    assert not (tmp_path / 'p.csv').exists()
    assert not (tmp_path / 'none').exists()
