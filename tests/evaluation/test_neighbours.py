"""Indexes of two small runs: made, changed, searched and measured, against NumPy in float64."""

import csv
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn import metrics as sklearn_metrics

from bsce_tf.data import prepare
from bsce_tf.data.sources import generated
from bsce_tf.data.view import View
from bsce_tf.errors import InputError
from bsce_tf.evaluation import collect
from bsce_tf.evaluation.neighbours import build, predictor
from bsce_tf.evaluation.neighbours import evaluate as evaluation
from bsce_tf.evaluation.neighbours.evaluate import evaluate
from bsce_tf.evaluation.predict import predict
from bsce_tf.index import stored
from tests.evaluation import reference

NAMES = generated.load().train.class_names


def both(runs):
    return ','.join(map(str, runs))


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    with config.ignore_type():  # of neighbours.reject
        config.update_from_flattened_dict({name.replace('__', '.'): value
                                           for name, value in fields.items()})
    return config


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


class Pixels:
    """Vectors of a few pixels instead of a network's features, which take seconds to compile."""

    def __init__(self, runs, scales, devices, taus=None):
        self.class_names, self.devices, self.width = runs[0].class_names, devices, 48
        self.fingerprints, self.views = ['pixels'] * len(runs), [View(28, (28,))]

    def compute(self, batch):
        pixels = tf.image.resize(batch.crops[0][:, 0], (4, 4), 'area')
        vectors = tf.math.l2_normalize(tf.reshape(pixels - 100, [-1, 48]), axis=1)
        return {'vectors': vectors, 'probabilities': tf.fill([tf.shape(vectors)[0], 6], 1 / 6)}

    def vectors(self, batch):
        return {'vectors': self.compute(batch)['vectors']}


@pytest.fixture
def pixels(monkeypatch):
    for module in (build, predictor, evaluation):
        monkeypatch.setattr(module, 'Embedder', Pixels)


@pytest.fixture
def index_of(pixels, config, runs, tmp_path):
    """Function: makes an index in a folder of its own; returns config and `Index`."""
    def make(**fields):
        found = changed(config, index__folder=str(tmp_path / 'index'), **fields)
        return found, build.build(found, runs[0])

    return make


@pytest.fixture
def shop(tmp_path):
    """Folder of five images of each of two new classes and of one that is known."""
    rng = np.random.default_rng(0)
    for name in ('new/red', 'new/blue', NAMES[0]):
        (tmp_path / 'shop' / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 80, (28, 28, 3), np.uint8)
            pixels[..., 0 if 'red' in name else 2] += 150
            Image.fromarray(pixels).save(tmp_path / 'shop' / name / f'{i}.png')
    return tmp_path / 'shop'


def vectors_of(runs, images):
    """float64 `[N, d]`: features averaged over scales, of length 1, joined over runs, by NumPy."""
    parts = []
    for folder, scales in zip(runs, ((24, 28), (21, 25, 23)), strict=True):
        body, _, _, config = reference.network(folder)
        image = config.image
        features = np.mean([body.predict(np.stack([
            reference.centre_crop(picture, scale, image.size, image.aspect)
            for picture in images]), verbose=0) for scale in scales], axis=0).astype(np.float64)
        parts.append(features / np.linalg.norm(features, axis=1, keepdims=True))
    return np.concatenate(parts, axis=1) / 2 ** 0.5


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


def test_new_products_are_added_found_replaced_and_removed(index_of, shop, runs, tmp_path, capsys):
    config, index = index_of()
    before = len(index)
    config.index.input = str(shop)
    index = build.build(config, runs[0])
    assert len(index) == before + 15
    assert set(index.rows.class_names) == {*NAMES, 'new/red', 'new/blue'}
    assert index.rows.ids.tolist() == list(range(before + 15))
    assert build.build(config, runs[0]) is None  # all are there
    assert 'nothing to add' in capsys.readouterr().out

    shutil.move(shop / 'new/red/0.png', shop / 'new/red/moved.png')  # the same picture
    Image.new('RGB', (28, 28), (250, 0, 0)).save(shop / 'new/red/1.png')  # another one
    index = build.build(config, runs[0])
    assert '1 images added, 1 replaced' in capsys.readouterr().out
    assert len(index) == before + 15
    assert index.rows.ids[-1] == before + 15  # an id is not given twice

    config.update_from_flattened_dict({
        'predict.by': 'neighbours', 'neighbours.k': 3, 'predict.top_k': 1,
        'predict.input': str(shop / 'new'), 'predict.output': str(tmp_path / 'p.csv')})
    predict(config, runs[0])
    with open(tmp_path / 'p.csv', newline='', encoding='utf-8') as file:
        found = list(csv.DictReader(file))
    assert [row['nearest_class'] for row in found] == [
        f'new/{row["path"].split("/")[0]}' for row in found]
    assert all(float(row['similarity']) > 0.999 for row in found)

    removing = changed(config, index__remove_classes=('new/blue',))
    index = build.build(removing, runs[0])
    assert len(index) == before + 10
    assert 'new/blue' not in index.rows.class_names
    listed = tmp_path / 'gone.csv'
    listed.write_text(f'image\n{NAMES[0]}/0.png\n{NAMES[0]}/1.png\n')
    index = build.build(changed(config, index__remove=str(listed)), runs[0])
    assert len(index) == before + 8
    with pytest.raises(InputError, match="names 'bar 0°/0.png', which .* does not have"):
        build.build(changed(config, index__remove=str(listed)), runs[0])
    with pytest.raises(InputError, match="found 'new/blue', of which"):
        build.build(removing, runs[0])
    with pytest.raises(InputError, match='would hold no image'):
        build.build(changed(config, index__remove_classes=index.rows.class_names), runs[0])
    assert len(stored.read(config.index.folder)) == before + 8


def test_copies_and_bad_images_are_left_out(index_of, shop, runs, capsys):
    shutil.copy(shop / 'new/red/0.png', shop / 'new/red/copy.png')
    shutil.copy(shop / 'new/red/0.png', shop / 'new/blue/same picture.png')  # another label
    (shop / 'new/red/bad.png').write_bytes(b'no image')
    with pytest.raises(InputError, match=r'new/red/bad\.png'):
        index_of(index__input=str(shop))
    config, index = index_of(index__input=str(shop), data__on_error='skip',
                             data__max_bad_fraction=0.2)
    assert len(index) == 16
    out = capsys.readouterr().out
    assert '1 copies of images left out' in out
    assert '1 bad images left out' in out
    assert not list(stored.pathlib.Path(config.index.folder).glob('adding-*'))


def test_a_kill_between_parts_is_resumed(index_of, runs, monkeypatch, tmp_path):
    monkeypatch.setattr(collect, '_PART', 48)
    whole, read = collect.forward.over, []

    def over(*arguments):
        read.append(arguments[-2])
        if len(read) == 2:
            raise KeyboardInterrupt
        yield from whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(collect.forward, 'over', over)
        with pytest.raises(KeyboardInterrupt):
            index_of()
        assert not stored.exists(tmp_path / 'index')
        _, index = index_of()
    assert read == [0, 48, 48, 96]
    shutil.rmtree(tmp_path / 'index')
    _, other = index_of()
    np.testing.assert_array_equal(*(np.concatenate(list(x.blocks())) for x in (index, other)))


def test_an_index_that_grows_changes_its_kind(index_of, runs, shop, monkeypatch):
    config, index = index_of()
    assert index.about['kind'] == 'exact'
    monkeypatch.setitem(build.kinds.LARGEST, 'exact', len(index))
    config.index.input = str(shop)
    grown = build.build(config, runs[0])
    assert grown.about['kind'] == 'ivf'
    assert grown.about['trained_on'] == len(grown) == len(index) + 15
    again = stored.read(config.index.folder, probes=1000)
    held = np.concatenate(list(again.blocks()))
    _, places = again.search(held, 1)
    assert (places[:, 0] == np.arange(len(again))).mean() > 0.95  # but for images that look alike
    before = np.concatenate(list(index.blocks()))
    np.testing.assert_allclose(held[:len(before)], before, atol=2e-3)
    Image.new('RGB', (28, 28), (0, 9, 99)).save(shop / 'new/red/6.png')
    with pytest.raises(InputError, match='index.kind: found exact; expected ivf or auto'):
        build.build(changed(config, index__kind='exact'), runs[0])


def test_unseen_classes_are_in_the_index_alone(config, index_of, runs):
    fields = {'data__unseen_classes': 0.34, 'neighbours__k': 5, 'predict__by': 'neighbours'}
    splits = prepare.load(**{**config.data, 'unseen_classes': 0.34}, seed=config.seed)
    unseen = np.flatnonzero(splits.train.counts == 0)
    assert len(unseen) == 2
    assert not np.isin(splits.validation.labels, unseen).any()
    assert (splits.test.counts > 0).all()
    _, index = index_of(**fields)
    assert len(index.rows.class_names) == 6


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
        fingerprints=fingerprints, class_names=runs[0].class_names))
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


def test_images_that_find_themselves_are_told(pixels, config, runs, tmp_path, caplog):
    settings = changed(config, index__folder=str(tmp_path / 'index'), predict__by='neighbours',
                       neighbours__k=3)
    folder = tmp_path / 'run'
    shutil.copytree(runs[0], folder, ignore=shutil.ignore_patterns('checkpoints', 'tensorboard'))
    test = prepare.load(**config.data, seed=config.seed).test
    for i in range(12):
        place = tmp_path / 'test' / test.class_names[test.labels[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.images[i]).save(place / f'{i}.png')
    settings.index.input = str(tmp_path / 'test')
    build.build(settings, folder)
    settings.data.update(source='folder', root=str(tmp_path / 'test'), classes=str(
        folder / 'classes.json'), cache='off', validation_fraction=0.5)
    evaluate(settings, folder)
    found = json.loads((folder / 'neighbours.json').read_text())
    assert found['also_in_index'] == 6
    assert found['open_set'] is None
    assert '6 of the evaluated images are in' in caplog.text
