"""An index of pixels, without a network: added to, taken from, killed and grown."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from bsce_tf.data import prepare
from bsce_tf.errors import InputError
from bsce_tf.evaluation import collect
from bsce_tf.evaluation.neighbours import build, measure, predictor
from bsce_tf.evaluation.neighbours.measure import evaluate
from bsce_tf.evaluation.predict import predict
from bsce_tf.index import stored
from tests.evaluation.indexes import NAMES, Pixels, changed


@pytest.fixture
def pixels(monkeypatch):
    for module in (build, predictor, measure):
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
