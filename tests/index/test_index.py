"""The files of an index, its kinds and its searches, against NumPy in float64."""

import json

import faiss
import numpy as np
import pytest

from bsce_tf.data import texts
from bsce_tf.errors import InputError
from bsce_tf.index import kinds, rows, stored

MODELS, NAMES = ['run 24 28'], ('a', 'b', 'c')
ACCEPTED = [('newer', 'run 24 28')]  # fingerprints that stand for the run


def vectors(count, width=16, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def table(ids, names=NAMES):
    ids = np.asarray(ids)
    return rows.Rows(ids, (ids % len(names)).astype(np.int32), names,
                     texts.of([b'%d/\xff.png' % number for number in ids]),
                     np.zeros(len(ids), np.int32), ('/data, "shop"',),
                     np.stack([ids, ids + 7], 1).astype(np.uint64))


def made(folder, data, kind='exact', generation=0):
    index = kinds.build(kind, data.shape[1], len(data), lambda count: data[:count])
    index.add_with_ids(data, np.arange(len(data)))
    return stored.write(folder, {
        'kind': kind, 'width': data.shape[1], 'next_id': len(data), 'trained_on': len(data),
        'models': MODELS, 'generation': generation}, index, table(np.arange(len(data))), NAMES)


def nearest(data, queries, count):
    cosines = queries.astype(np.float64) @ data.astype(np.float64).T
    order = np.argsort(-cosines, axis=1, kind='stable')[:, :count]
    return np.take_along_axis(cosines, order, 1), order


def test_an_index_is_read_as_it_was_written(tmp_path):
    data = vectors(50)
    made(tmp_path, data)
    index = stored.read(tmp_path, ACCEPTED, NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'classes.json', 'index.json', 'rows-1.csv', 'vectors-1.faiss']
    assert index.rows.files()[3] == ('/data, "shop"', b'3/\xff.png')
    assert index.rows.keys()[4] == (4, 11, 'b')
    cosines, places = index.search(vectors(8, seed=1), 5)
    expected, order = nearest(data, vectors(8, seed=1), 5)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate(list(index.blocks())), data)


@pytest.mark.parametrize('kind', kinds.KINDS)
def test_rows_are_removed_and_left_out_in_every_kind(tmp_path, kind):
    data = vectors(400)
    index = made(tmp_path, data, kind)
    index.probes = 400  # all cells
    queries = data[:3]
    _, places = index.search(queries, 4, without=np.array([0, 1]))
    assert not np.isin(places, [0, 1]).any()
    assert places[2, 0] == 2
    gone = np.zeros(400, bool)
    gone[[0, 5, 399]] = True
    left = index.rows.kept(~gone)
    stored.write(tmp_path, index.about, index.without(gone), left, NAMES)
    again = stored.read(tmp_path, ACCEPTED, NAMES, probes=400)
    assert len(again) == 397
    assert again.about['generation'] == 2
    assert not list(tmp_path.glob('*-1.*'))
    _, places = again.search(data[1:5], 1)
    assert again.rows.ids[places[:, 0]].tolist() == [1, 2, 3, 4]
    held = np.concatenate(list(again.blocks()))
    assert held.shape == (397, 16)
    tolerance = {'exact': 0, 'ivf': 2e-3, 'ivf_pq': 0.9}[kind]
    assert np.abs(held - data[left.ids]).max() <= tolerance


@pytest.mark.parametrize('kind', ['ivf', 'exact'])
def test_neighbours_are_those_of_numpy(tmp_path, kind):
    data, queries = vectors(600), vectors(20, seed=2)
    index = made(tmp_path, data, kind)
    index.probes = 600
    cosines, places = index.search(queries, 10)
    expected, order = nearest(data, queries, 10)
    np.testing.assert_allclose(cosines, expected, atol=2e-3)
    assert (places == order).mean() > 0.97  # float16 may swap neighbours that are equally near


def test_kinds_by_size():
    assert [kinds.wanted('auto', n) for n in (1, 200_000, 200_001, 5_000_000, 5_000_001)] == [
        'exact', 'exact', 'ivf', 'ivf', 'ivf_pq']
    assert kinds.wanted('ivf', 5) == 'ivf'
    assert kinds.cells(10_000) == 400
    assert kinds.cells(3) == 3
    assert not kinds.grown(100, 400)
    assert kinds.grown(100, 401)


def test_fewer_neighbours_than_asked_for(tmp_path):
    index = made(tmp_path, vectors(3))
    cosines, places = index.search(vectors(1), 5)
    assert places[0, 3:].tolist() == [-1, -1]
    assert np.isneginf(cosines[0, 3:]).all()
    with pytest.raises(InputError, match='neighbours.k: found 5; expected at most 3, the images'):
        index.check_count(5)


def test_rows_join_by_class_name():
    first, second = table([0, 1, 2]), table([3, 4], ('z', 'a'))
    both = first.joined(second)
    assert [both.class_names[k] for k in both.labels] == ['a', 'b', 'c', 'a', 'z']
    assert both.class_names == ('a', 'b', 'c', 'z')
    left = both.kept(np.array([1, 0, 0, 0, 1], bool))
    assert left.class_names == ('a', 'z')
    assert [left.class_names[k] for k in left.labels] == ['a', 'z']
    assert both.places(np.array([[4, 9], [0, -1]])).tolist() == [[4, -1], [0, -1]]


def test_a_kill_leaves_the_index_before(tmp_path, monkeypatch):
    data = vectors(30)
    index = made(tmp_path, data)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stored.files, 'write_json', stop)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, vectors(9), generation=1)
    assert (tmp_path / 'rows-2.csv').exists()
    again = stored.read(tmp_path, ACCEPTED, NAMES)
    assert again.fingerprint == index.fingerprint
    assert len(again) == 30
    made(tmp_path, vectors(9), generation=1)
    assert len(stored.read(tmp_path)) == 9
    assert len(list(tmp_path.glob('rows-*'))) == 1


def test_refusals_are_one_line(tmp_path):
    data = vectors(30)
    with pytest.raises(InputError, match='holds no index.json'):
        stored.read(tmp_path)
    index = made(tmp_path, data)
    with pytest.raises(InputError, match='made with other runs, weights or test scales'):
        stored.read(tmp_path, [('run 24', 'x')], NAMES)
    with pytest.raises(InputError, match='made with 1 run.s., and --workdir names 2'):
        stored.read(tmp_path, [*ACCEPTED, ('x',)], NAMES)
    with pytest.raises(InputError, match=r"class 1 is 'b'; expected 'x'"):
        stored.read(tmp_path, ACCEPTED, ('a', 'x', 'c'))
    with pytest.raises(InputError, match='would hold no image'):
        stored.write(tmp_path, index.about, faiss.IndexFlatIP(16), rows.empty(), NAMES)
    assert len(stored.read(tmp_path)) == 30
    with pytest.raises(InputError, match='ivf_pq for 30 images'):
        kinds.build('ivf_pq', 16, 30, None)


@pytest.mark.parametrize(('name', 'change', 'message'), [
    ('index.json', lambda text: text[:20], 'expected what --mode=index wrote'),
    ('index.json', lambda text: text.replace('"images": 30', '"images": 0'), 'of no image'),
    ('index.json', lambda text: text.replace('"version": 1', '"version": 9'), 'take a newer one'),
    ('rows-1.csv', lambda text: text.replace('id,', 'number,'), 'found the columns number'),
    ('rows-1.csv', lambda text: text.replace('\n5,', '\n4,'), 'line 7: found'),
    ('rows-1.csv', lambda text: text.replace('\n5,c', '\n5,a'), 'changed since --mode=index wrote'),
    ('rows-1.csv', lambda text: text[:text.index('\n29,') + 1], 'found 29 rows and 30 vectors')])
def test_damaged_files_are_named(tmp_path, name, change, message):
    made(tmp_path, vectors(30))
    path = tmp_path / name
    raw = {'encoding': 'utf-8', 'errors': 'surrogateescape'}
    path.write_text(change(path.read_text(**raw)), **raw)
    with pytest.raises(InputError, match=message) as caught:
        stored.read(tmp_path)
    assert str(path) in str(caught.value)


def test_cut_off_vectors_are_refused(tmp_path):
    made(tmp_path, vectors(30))
    path = tmp_path / 'vectors-1.faiss'
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r'vectors-1.faiss: found \d+ bytes; expected'):
        stored.read(tmp_path)
    about = json.loads((tmp_path / 'index.json').read_text())
    (tmp_path / 'index.json').write_text(json.dumps({**about, 'bytes': path.stat().st_size}))
    with pytest.raises(InputError, match='Delete the folder'):
        stored.read(tmp_path)
