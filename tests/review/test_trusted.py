"""Images on which a person decided, as a clean validation set."""

import numpy as np
import pytest

from bsce_tf.audit import audit
from bsce_tf.data import prepare
from bsce_tf.errors import InputError
from tests.review import audited
from tests.review.page_client import Client


@pytest.fixture
def decided(folder):
    """(the page, {word: index}) after a keep, a suggestion and a removal."""
    page, found = Client(folder), {}
    page.item()
    for word in ('keep', 'suggestion', 'remove'):
        item = page.now['item']
        found[word] = item['index']
        page.decide(word, item['suggested']['id'] if word == 'suggestion' else None)
    page.result.write()
    return page, found


@pytest.mark.parametrize('clean', ['', 'reviewed.csv', 'cleaned.csv'])
def test_they_validate_and_are_not_trained_on(decided, folder, images, clean):
    page, found = decided
    config = audited.settings(images, **{
        'data.clean': clean and str(folder / clean),
        'data.trusted': str(folder / 'decisions.jsonl')})
    train = page.found.train
    for splits in (prepare.load(**config.data), audit.load(config).splits):
        names = [path.decode() for path in splits.validation.paths]
        labels = dict(zip(names, splits.validation.labels.tolist(), strict=True))
        assert labels == {
            train.name(found['keep']): train.labels[found['keep']],
            train.name(found['suggestion']): page.found.suggested[found['suggestion']]}
        kept = set(range(72)) - set(found.values()) - (
            set(audited.WRONG) if clean == 'cleaned.csv' else set())
        assert [path.decode() for path in splits.train.paths] == [
            train.name(i) for i in sorted(kept)]
        np.testing.assert_array_equal(splits.train.labels, train.labels[sorted(kept)])


def test_no_image_of_a_group_with_one_of_them_is_trained_on(decided, folder, images):
    """The groups of this pattern are the tens of the names' numbers."""
    page, found = decided
    config = audited.settings(images, **{
        'data.group_pattern': r'/(\d)\d', 'data.trusted': str(folder / 'decisions.jsonl')})
    train = page.found.train
    tens = {train.name(found[word])[-6] for word in ('keep', 'suggestion')}
    for splits in (prepare.load(**config.data), audit.load(config).splits):
        assert [path.decode() for path in splits.train.paths] == [
            name for i, name in enumerate(map(train.name, range(72)))
            if name[-6] not in tens and i != found['remove']]
        assert len(splits.validation) == 2


def test_an_audit_may_validate_by_some_and_take_the_others_as_right(decided, folder, images):
    page, found = decided
    config = audited.settings(images, **{
        'audit.reviewed': str(folder / 'decisions.jsonl'),
        'data.trusted': str(folder / 'decisions.jsonl')})
    data = audit.load(config)
    assert len(data.splits.train) == len(data.given) == len(data.reviewed) == 69
    assert not data.reviewed.any()
    assert len(data.splits.validation) == 2


def test_decisions_that_keep_no_image_are_refused(folder, images):
    page = Client(folder)
    page.item()
    page.decide('remove')
    config = audited.settings(images, **{'data.trusted': str(folder / 'decisions.jsonl')})
    with pytest.raises(InputError, match='data.trusted: .* leaves no image for validation'):
        prepare.load(**config.data)
