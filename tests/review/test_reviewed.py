"""A later audit of a set that was reviewed: what a person decided is not doubted again."""

import json

import numpy as np
import pytest

from bsce_tf.audit import audit
from bsce_tf.errors import InputError
from bsce_tf.review import catalogue
from tests.review import audited
from tests.review.page_client import Client, removed
from tests.run_files import rows_of


@pytest.fixture
def decided(folder):
    """(the page, {word: index}) after a keep, a suggestion, a removal and a skip."""
    page, found = Client(folder), {}
    page.item()
    for word in ('keep', 'suggestion', 'remove', 'skip'):
        item = page.now['item']
        found[word] = item['index']
        page.decide(word, item['suggested']['id'] if word == 'suggestion' else None)
    page.result.write()
    return page, found


def test_reviewed_images_are_not_listed_again_and_their_labels_count(
        decided, folder, images, tmp_path, monkeypatch):
    page, found = decided
    config = audited.settings(images, **{'audit.reviewed': str(folder / 'decisions.jsonl')})
    result = audited.write(config, tmp_path / 'second', monkeypatch)
    train = page.found.train
    left = np.arange(72) != found['remove']
    assert list(result.train.paths) == list(train.paths[left])
    expected = np.array(train.labels)
    expected[found['suggestion']] = page.found.suggested[found['suggestion']]
    np.testing.assert_array_equal(result.train.labels, expected[left])
    decided_on = np.isin(np.arange(72), [found['keep'], found['suggestion']])[left]
    np.testing.assert_array_equal(result.reviewed, decided_on)
    listed = {train.name(i) for i in audited.WRONG if i not in (
        found['keep'], found['suggestion'], found['remove'])}
    assert {row['path'] for row in rows_of(tmp_path / 'second' / audit.ISSUES)} == listed
    assert len(listed) == 5
    kept = train.name(found['keep'])  # its label is wrong by all networks, and a person kept it
    assert (result.quality.wrong[decided_on] == 0).all()
    assert {row['image']: row['label'] for row in rows_of(
        tmp_path / 'second' / audit.CLEANED)}[kept] == train.class_names[
            train.labels[found['keep']]]
    told = json.loads((tmp_path / 'second' / audit.SUMMARY).read_text())
    assert (told['images'], told['listed'], told['reviewed']) == (71, 5, 2)


def test_a_second_review_holds_the_decisions_of_both(decided, folder, images, tmp_path,
                                                     monkeypatch):
    page, found = decided
    config = audited.settings(images, **{'audit.reviewed': str(folder / 'decisions.jsonl')})
    second = tmp_path / 'second'
    audited.write(config, second, monkeypatch)
    later = Client(second)
    item = later.item()
    assert later.now['total'] == 5
    later.decide('suggestion', item['suggested']['id'])
    later.result.write()
    labels = {row['image']: row['label'] for row in rows_of(second / 'reviewed.csv')}
    classes = page.found.train.class_names
    assert page.found.train.name(found['remove']) not in labels
    assert labels[page.found.train.name(found['suggestion'])] == classes[
        page.found.suggested[found['suggestion']]]
    assert labels[item['name']] == item['suggested']['name']
    assert len(labels) == 71
    # A third audit takes both files.
    both = f'{folder / "decisions.jsonl"},{second / "decisions.jsonl"}'
    third = audit.load(audited.settings(images, **{'audit.reviewed': both}))
    assert int(third.reviewed.sum()) == 3
    assert (len(third.splits.train), third.splits.train.class_names) == (71, classes)


def test_a_decision_wins_over_the_list_of_an_audit(decided, folder, images):
    page, found = decided
    data = audit.load(audited.settings(images, **{
        'data.clean': str(folder / 'cleaned.csv'),
        'audit.reviewed': str(folder / 'decisions.jsonl')}))
    names = [path.decode() for path in data.splits.train.paths]
    assert len(names) == 72 - 8 + 2  # both were dropped
    place = names.index(page.found.train.name(found['suggestion']))
    assert data.splits.train.labels[place] == page.found.suggested[found['suggestion']]
    assert data.given[place] == page.found.train.labels[found['suggestion']]
    assert data.reviewed.sum() == 2


def test_the_clean_list_of_a_review_may_be_audited(decided, folder, images, tmp_path, monkeypatch):
    second = tmp_path / 'second'
    audited.write(audited.settings(images, **{'data.clean': str(folder / 'reviewed.csv')}), second,
                  monkeypatch, pairs=())
    later = Client(second)
    assert later.item()['name']
    later.decide('remove')
    later.result.write()
    assert len(rows_of(second / 'reviewed.csv')) == 70


def test_decisions_that_went_on_after_the_audit_are_noticed(decided, folder, images, tmp_path,
                                                            monkeypatch):
    page, _ = decided
    config = audited.settings(images, **{'audit.reviewed': str(folder / 'decisions.jsonl')})
    audited.write(config, tmp_path / 'second', monkeypatch)
    page.decide('remove')
    with pytest.raises(InputError, match='expected the images and labels that were audited'):
        catalogue.read(tmp_path / 'second', 'gain')


@pytest.mark.parametrize(('change', 'message'), [
    (lambda path: path.unlink(), 'No such file'),
    (lambda path: path.write_text(path.read_text().replace('train/', 'other/')), "'other/"),
    (lambda path: path.write_text('image,label\n'), 'line 1 is no JSON')])
def test_decisions_of_another_set_are_refused(decided, folder, images, change, message):
    path = folder / 'decisions.jsonl'
    change(path)
    with pytest.raises(InputError, match=message) as caught:
        audit.load(audited.settings(images, **{'audit.reviewed': str(path)}))
    assert str(path) in str(caught.value)


def test_a_decision_on_an_image_that_was_replaced_does_not_count(decided, folder, images, caplog):
    page, found = decided
    place = images / page.found.train.name(found['suggestion'])
    before = place.read_bytes()
    config = audited.settings(images, **{'audit.reviewed': str(folder / 'decisions.jsonl')})
    try:
        place.write_bytes((images / 'train/01.png').read_bytes())
        data = audit.load(config)
    finally:
        place.write_bytes(before)
    assert '1 of 3 decisions are on images that were replaced' in caplog.text
    assert data.reviewed.sum() == 1
    np.testing.assert_array_equal(data.splits.train.labels, data.given)
    with removed(images / page.found.train.name(found['remove'])):
        assert len(audit.load(config).splits.train) == 71  # it need not be there any more
