"""What the page shows and asks for, and the clean list that follows from the decisions."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from bsce_tf.audit import audit
from bsce_tf.data import prepare
from bsce_tf.errors import InputError
from bsce_tf.review import catalogue, order
from tests.review import audited
from tests.review.page_client import Client, removed
from tests.run_files import rows_of


@pytest.fixture
def page(folder):
    return Client(folder)


def test_an_image_is_shown_with_both_classes_and_what_the_networks_take_it_for(page, folder):
    rows = rows_of(folder / audit.ISSUES)
    item = page.item()
    row = next(row for row in rows if row['path'] == item['name'])
    assert (item['given']['name'], item['suggested']['name']) == (
        row['given_label'], row['suggested_label'])
    assert item['score'] == pytest.approx(float(row['score']), abs=1e-6)
    assert item['wrong'] == pytest.approx(float(row['wrong']), abs=1e-4)
    assert (item['width'], item['height'], item['problem']) == (32, 32, '')
    train = page.found.train
    for side in (item['given'], item['suggested']):
        assert side['images'] == int((train.labels == side['id']).sum())
        assert len(side['examples']) == 3
        assert (train.labels[side['examples']] == side['id']).all()
        assert not page.found.listed[side['examples']].any()
    probable = [found['probability'] for found in item['best']]
    assert len(probable) == 5 > 0
    assert probable == sorted(probable, reverse=True)
    assert item['best'][0]['id'] == audited.true_labels(train)[item['index']]
    for kind in ('large', 'small', 'whole'):
        found = page.get(f'/picture/{item["index"]}/{kind}')
        shown = np.asarray(Image.open(io.BytesIO(found.data)))
        np.testing.assert_array_equal(shown, np.asarray(Image.open(
            f'{train.root}/{item["name"]}')))


def test_a_picture_is_turned_as_its_exif_asks_and_shrunk(folder, images, tmp_path):
    page = Client(folder)
    index = page.item()['index']
    place = images / page.now['item']['name']
    before = place.read_bytes()
    try:
        pixels = np.zeros((600, 1800, 3), np.uint8)
        pixels[:, :900] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90° clockwise
        Image.fromarray(pixels).save(place, 'jpeg', exif=exif, quality=95)
        item = page.item()
        assert (item['index'], item['height'], item['width']) == (index, 1800, 600)
        sizes = {}
        for kind in ('large', 'small', 'whole'):
            shown = Image.open(io.BytesIO(page.get(f'/picture/{index}/{kind}').data))
            sizes[kind] = shown.size
            upper, lower = np.array_split(np.asarray(shown.convert('L')), 2)
            assert upper[5:-5].min() > 250 > 5 > lower[5:-5].max()
        assert sizes == {'large': (300, 900), 'small': (64, 192), 'whole': (600, 1800)}
    finally:
        place.write_bytes(before)


def test_decisions_become_a_clean_list_that_training_takes(page, folder, images):
    train, true = page.found.train, audited.true_labels(page.found.train)
    expected = np.array(train.labels)
    item = page.item()
    expected[item['index']] = item['suggested']['id']
    item = page.decide('suggestion', item['suggested']['id'])
    kept = item['index']
    item = page.decide('keep')
    expected[item['index']] = (true[item['index']] + 2) % 6
    item = page.decide('another', int(expected[item['index']]))
    gone = item['index']
    item = page.decide('remove')
    page.decide('skip')
    assert (page.now['decided'], page.now['skipped'], page.now['open']) == (4, 1, 3)
    assert page.result.write() == 71
    found = prepare.load('csv', **_data(images), clean=str(folder / 'reviewed.csv')).train
    left = np.arange(72) != gone
    np.testing.assert_array_equal(found.labels, expected[left])
    assert list(found.paths) == list(train.paths[left])
    assert expected[kept] == train.labels[kept]


def test_images_that_nobody_saw_may_be_as_the_audit_cleaned_them(folder, images):
    page = Client(folder, others='cleaned')
    kept = page.item()['index']
    page.decide('keep')
    assert page.result.write() == 72 - 8 + 1  # the audit dropped this one, too; a person kept it
    found = prepare.load('csv', **_data(images), clean=str(folder / 'reviewed.csv')).train
    assert page.found.train.name(kept) in [path.decode() for path in found.paths]
    assert Client(folder, others='given').result.write() == 72


def test_the_order_is_the_expected_gain(folder):
    found = catalogue.read(folder, 'gain')
    images, sizes = found.lists['issues'], np.bincount(found.train.labels)
    worth = [found.wrong[i] * (1 / sizes[found.train.labels[i]] + 1 / sizes[found.suggested[i]])
             for i in images]
    assert worth == sorted(worth, reverse=True)
    assert len({round(value, 9) for value in worth}) > 2
    scores = [float(row['score']) for row in rows_of(folder / audit.ISSUES)]
    by_audit = catalogue.read(folder, 'audit')
    np.testing.assert_allclose(by_audit.scores[by_audit.lists['issues']], scores, atol=1e-6)


def test_a_wrong_label_in_a_small_class_comes_first():
    counts, wrong = np.array([1000, 10, 500]), np.array([0.9, 0.5, 0.9, 0.1])
    given, suggested = np.array([0, 1, 0, 1]), np.array([2, 2, 1, 2])
    gains = order.gain(wrong, given, suggested, counts)
    np.testing.assert_allclose(gains, [0.9 * 0.003, 0.5 * 0.102, 0.9 * 0.101, 0.1 * 0.102])
    arrange = lambda name: order.arranged(  # noqa: E731
        name, wrong, np.array([0.1, 0.2, 0.3, 0.4]), given, suggested, counts).tolist()
    assert arrange('gain') == [2, 1, 3, 0]
    assert arrange('share') == [1, 3, 0, 2]
    assert arrange('audit') == [0, 1, 2, 3]


def test_filters_and_the_way_through_the_list(page):
    images, train = page.found.lists['issues'], page.found.train
    seen, item = [], page.item()
    while item and item['index'] not in seen:
        seen.append(item['index'])
        item = page.item(place=page.now['place'])
    assert seen == images.tolist()
    assert page.item(place=0, step=-1)['index'] == images[-1]
    label = int(train.labels[images[3]])
    page.item(given=label)
    assert page.now['total'] == int((train.labels[images] == label).sum()) < len(images)
    page.item(size_from=13, size_to=13)
    assert page.now['total'] == int((train.counts[train.labels[images]] == 13).sum())
    middle = float(np.median(page.found.scores[images]))
    page.item(score_to=middle)
    assert page.now['total'] == 4
    assert page.item(score_to=-1) is None
    for bad in ({'given': 6}, {'given': -1}, {'list': 'x'}, {'show': 'x'}, {'step': 3},
                {'size_from': 'a'}):
        assert page.get('/item', **bad).status_code == 400


def test_near_duplicates_are_lists_of_their_own(page):
    names = []
    item = page.item(list='two_labels')
    names.append(item['name'])
    assert [twin['name'] for twin in item['twins']] == ['train/14.png']
    assert item['suggested']['name'] == item['twins'][0]['label'] == 'bar 30°'
    item = page.decide('suggestion', item['suggested']['id'])
    names.append(item['name'])
    assert names == ['train/03.png', 'train/14.png']
    assert item['suggested'] is None  # the other one has this label now
    item = page.item(list='one_label')
    assert (item['name'], item['suggested'], page.now['total']) == ('train/02.png', None, 1)
    assert page.decide('remove') is None


def test_a_sample_has_as_many_of_each_class_and_all_classes_first(folder):
    page = Client(folder, sample=3)
    images, labels = page.found.lists['sample'], page.found.train.labels
    assert len(set(images.tolist())) == 18
    for first in (0, 6, 12):
        assert sorted(labels[images[first:first + 6]]) == list(range(6))
    np.testing.assert_array_equal(images, Client(folder, sample=3).found.lists['sample'])
    assert (labels[images] != np.sort(labels[images])).any()
    true = audited.true_labels(page.found.train)
    item = page.item(list='sample')
    for _ in images:
        index = item['index']
        wanted = int(true[index]) if true[index] != labels[index] else None
        assert (item['suggested'] and item['suggested']['id']) == wanted
        item = page.item(list='sample', place=page.now['place'])
    assert len(Client(folder, sample=99).found.lists['sample']) == 72
    assert not len(Client(folder).found.lists['sample'])


def test_an_image_that_is_gone_can_be_skipped_or_removed(folder, images):
    name = Client(folder).item()['name']
    with removed(images / name):
        page = Client(folder)  # the list of the source still has it
        item = page.item()
        assert name in item['problem']
        assert any('gone or were replaced' in note for note in page.now['notes'])
        assert page.get(f'/picture/{item["index"]}/large').status_code == 404
        assert page.post('/decide', page.body('keep')).status_code == 400
        page.decide('remove')
        page.result.write()
    assert name not in [row['image'] for row in rows_of(folder / 'reviewed.csv')]
    assert len(rows_of(folder / 'reviewed.csv')) == 71


def test_a_file_that_is_no_image_says_so(folder, images):
    place = images / Client(folder).item()['name']
    before = place.read_bytes()
    try:
        place.write_bytes(b'no image')
        item = Client(folder).item()
        assert place.name in item['problem']
        assert item['digest']
    finally:
        place.write_bytes(before)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda folder: (folder / 'label_issues.csv').unlink(), 'has no label_issues.csv'),
    (lambda folder: _replace(folder / 'label_issues.csv', 'train/27', 'train/28'), 'line 2'),
    (lambda folder: _replace(folder / 'label_issues.csv', 'path,', 'image,'), 'columns'),
    (lambda folder: _replace(folder / 'near_duplicates.csv', 'train/14', 'train/99'), 'line 3'),
    (lambda folder: _replace(folder / 'data.json', '"fingerprint": "', '"fingerprint": "0'),
     'names or labels'),
    (lambda folder: (folder / 'scores.npz').write_bytes(b'x'), 'scores.npz'),
])
def test_a_list_of_other_data_is_refused_in_one_line(folder, change, message):
    change(folder)
    with pytest.raises(InputError, match=message) as caught:
        catalogue.read(folder, 'gain')
    assert '\n' not in str(caught.value)


def test_rows_may_be_left_out_of_the_list(folder):
    path = folder / 'label_issues.csv'
    path.write_text(''.join(path.read_text(encoding='utf-8').splitlines(True)[:4]),
                    encoding='utf-8')
    assert len(catalogue.read(folder, 'gain').lists['issues']) == 3


def test_predictions_that_were_deleted_or_are_of_others_are_not_shown(folder):
    shutil.rmtree(folder / 'fold-0')
    about = folder / 'fold-1' / 'held_out' / 'made_of.json'
    about.write_text(json.dumps({'images': 'others'}))
    assert (catalogue.read(folder, 'gain').best == -1).all()


def test_classes_are_found_by_parts_of_their_names(page):
    found = page.get('/classes', find='BAR 3').get_json()
    assert [one['name'] for one in found] == ['bar 30°']
    assert len(page.get('/classes', find='bar').get_json()) == 6
    assert page.get('/classes', find=' ').get_json() == []


def _data(images):
    return {'root': str(images), 'train': str(images / 'train.csv'), 'cache': 'off',
            'validation': str(images / 'validation.csv'), 'classes': str(images / 'classes.json')}


def _replace(path, old, new):
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding='utf-8')
