"""The signature neighbours, asked through TensorFlow's C library, against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation.neighbours import build
from bsce_tf.index import stored
from bsce_tf.serving import export, neighbours
from tests.serving.exported import ask_c_api, pictures
from tests.smoke import smoke


@pytest.fixture(scope='module')
def place(runs, tmp_path_factory):
    """Folder of an index of the first run."""
    config = smoke()
    config.index.folder = str(tmp_path_factory.mktemp('index'))
    build.build(config, runs[0])
    return config.index.folder


def exported(runs, place, folder, **fields):
    config = smoke(**{'index.folder': place, 'export.folder': str(folder), 'export.by': 'both',
                      'export.bad_image': 'empty', 'neighbours.k': 4, **fields})
    return export.export(config, runs)


@pytest.fixture(scope='module')
def served(runs, place, tmp_path_factory):
    """(answers to the test pictures and a bad image, features of them, answers of serving_default)
    in float32, joined with the classifier."""
    folder = exported(runs[0], place, tmp_path_factory.mktemp('served'))
    request = [*pictures(), b'bad']
    return [ask_c_api(folder, [request], name)[0][0]
            for name in ('neighbours', 'features', 'serving_default')]


def cosines_of(features, place):
    """float64 `[n, N]` of features and the vectors of an index, whose labels come too."""
    queries = features['features'][:-1].astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index = stored.read(place)
    held = np.concatenate(list(index.blocks())).astype(np.float64)
    return queries @ held.T, index.rows


def test_its_neighbours_are_those_of_numpy(served, place):
    answer, features, _ = served
    cosines, rows = cosines_of(features, place)
    expected = -np.sort(-cosines, axis=1)[:, :4]
    np.testing.assert_allclose(answer['similarities'][:-1], expected, atol=1e-5)
    places = rows.places(answer['neighbour_ids'][:-1])
    np.testing.assert_allclose(np.take_along_axis(cosines, places, 1), expected, atol=1e-5)
    names = [[rows.class_names[rows.labels[i]] for i in line] for line in places]
    assert answer['neighbour_names'][:-1].tolist() == names


def test_its_scores_are_the_joined_rule(served, place):
    answer, features, classifier = served
    cosines, rows = cosines_of(features, place)
    for i, line in enumerate(cosines):
        near = np.argsort(-line)[:4]
        weights = np.exp(line[near] / 0.07)
        expected = {}
        for j, weight in zip(near, weights / weights.sum(), strict=True):
            name = rows.class_names[rows.labels[j]]
            expected[name] = expected.get(name, 0) + 0.5 * weight
        for name, score in zip(classifier['class_names'][i], classifier['scores'][i], strict=True):
            expected[name] = expected.get(name, 0) + 0.5 * score
        first = max(expected, key=expected.get)
        assert answer['class_names'][i][0] == first
        assert answer['scores'][i][0] == pytest.approx(expected[first], abs=1e-4)
    assert answer['class_names'][-1].tolist() == [''] * 5
    assert answer['class_ids'][-1].tolist() == [-1] * 5
    assert answer['neighbour_ids'][-1].tolist() == [-1] * 4
    assert not answer['similarities'][-1].any()


@pytest.mark.parametrize('kind', ['float32', 'float16', 'int8'])
def test_every_type_of_number_searches_all_vectors(kind, monkeypatch):
    monkeypatch.setattr(neighbours, '_BLOCK', 100)
    index, fields = Held(256), smoke().neighbours
    found = neighbours.Neighbours(_answerer(index), fields, 'neighbours', kind, None, 3)
    queries = _vectors(40, seed=1)
    cosines, places = (x.numpy() for x in found.search(tf.constant(queries)))
    expected = queries.astype(np.float64) @ index.held.astype(np.float64).T
    best = -np.sort(-expected, axis=1)[:, :10]
    tolerance = neighbours.TOLERANCE[kind] / 2
    np.testing.assert_allclose(cosines, best, atol=tolerance)
    np.testing.assert_allclose(np.take_along_axis(expected, places, 1), best, atol=2 * tolerance)
    assert found._matrix.dtype.name == kind


def test_what_is_not_right_is_not_exported(runs, place, tmp_path, monkeypatch):
    with pytest.raises(InputError, match='neighbours.k: found 999; expected at most'):
        exported(runs[0], place, tmp_path / 'served', **{'neighbours.k': 999})
    with pytest.raises(InputError, match='other runs, weights or test scales'):
        exported(runs[1], place, tmp_path / 'served')
    with monkeypatch.context() as patch:
        patch.setattr(neighbours, 'LARGEST', 9)
        with pytest.raises(InputError, match='expected at most 9 in a SavedModel'):
            exported(runs[0], place, tmp_path / 'served')
    assert not (tmp_path / 'served').exists()


def test_a_wrong_answer_is_noticed():
    index = Held(30)
    wanted = neighbours.Neighbours(_answerer(index), smoke().neighbours, 'both', 'float32', None, 3)
    features, probabilities = _vectors(5, seed=2), np.full((1, 5, 2), 0.5, np.float32)
    answer = wanted.answer([tf.constant(features)[:, None]], tf.constant(probabilities))

    def check(**changes):
        return neighbours.compare(lambda image_bytes: {**answer, **changes}, wanted, [b''] * 5,
                                  [tf.constant(features)], probabilities)

    assert check() < 1e-5
    ids = answer['neighbour_ids'].numpy()
    for name, value in (('similarities', answer['similarities'] + 1e-2),
                        ('scores', answer['scores'] * 0.9),
                        ('neighbour_ids', tf.constant(np.where(ids == ids[0, 0], ids[0, 1], ids))),
                        ('class_names', tf.fill([5, 2], 'x'))):
        with pytest.raises(RunError, match='Nothing was exported'):
            check(**{name: value})
    cosines, places = (x[:, 1:] for x in index.search(features, 11))  # without the nearest
    with pytest.raises(RunError, match='order of the neighbours'):
        check(similarities=tf.constant(cosines), neighbour_ids=tf.constant(index.rows.ids[places]))


def _vectors(count, width=32, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Held:
    """Stands for a `stored.Index`."""

    width = 32

    def __init__(self, count):
        self.held = _vectors(count)
        self.rows = stored.tables.Rows(
            np.arange(count) * 3, np.arange(count) % 2, ('a', 'b'), None, None, (), None)

    def __len__(self):
        return len(self.held)

    def blocks(self):
        yield from (self.held[i:i + 64] for i in range(0, len(self.held), 64))

    def check_count(self, count):
        pass

    def search(self, queries, count):
        cosines = queries @ self.held.T
        order = np.argsort(-cosines, axis=1)[:, :count]
        return np.take_along_axis(cosines, order, 1), order


def _answerer(index):
    return neighbours.answers.Answerer(index, ('a', 'b'), smoke().neighbours)
