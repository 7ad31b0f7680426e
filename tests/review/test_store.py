"""Decisions on disk: what counts, and what a kill, a second tab or a full disk leaves."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bsce_tf.data import decisions
from bsce_tf.errors import InputError
from bsce_tf.review import store
from bsce_tf.review.store import DECIDED, OPEN, SKIPPED
from tests.review.page_client import Client


def rows(folder):
    lines = (folder / store.NAME).read_text(encoding='ascii').splitlines()
    assert json.loads(lines[0]) == decisions.HEADER
    return [json.loads(line) for line in lines[1:]]


def test_a_decision_is_on_disk_before_the_next_image_is_shown(folder, monkeypatch):
    page, synced = Client(folder, reviewer='Ada'), []
    sync = os.fsync
    monkeypatch.setattr(os, 'fsync', lambda file: synced.append(
        (folder / store.NAME).read_bytes()) or sync(file))
    item = page.item()
    page.decide('suggestion', item['suggested']['id'])
    (row,) = rows(folder)
    assert synced[0].endswith(json.dumps(row).encode() + b'\n')
    assert row == {
        'path': item['name'], 'given_label': item['given']['name'], 'copy': 0,
        'sha256': item['digest'], 'decision': 'suggestion', 'label': item['suggested']['name'],
        'reviewer': 'Ada', 'time': row['time']}
    assert row['time'].endswith('+00:00')
    page.decide('keep')
    assert synced[-1].count(b'\n') == 3  # before the answer, and only added to
    assert rows(folder)[0] == row


def test_another_start_goes_on(folder):
    page = Client(folder)
    first = page.item()
    second = page.decide('keep')
    page.decide('skip')
    again = Client(folder, reviewer='Bo')
    assert again.item()['index'] == page.now['item']['index']
    assert (again.now['decided'], again.now['skipped']) == (1, 1)
    assert again.item(show='decided')['index'] == first['index']
    assert again.now['item']['decision'] == 'keep'
    assert again.item(show='skipped')['index'] == second['index']
    again.decide('remove')
    assert [row['reviewer'] for row in rows(folder)] == ['Ada', 'Ada', 'Bo']


def test_undo_is_a_row_and_brings_back_what_was_before(folder):
    page = Client(folder)
    first = page.item()
    page.decide('keep')
    second = page.now['item']
    page.decide('remove')
    page.item(show='decided')
    assert page.now['item']['index'] == first['index']
    page.decide('suggestion', first['suggested']['id'])
    item = page.undo(index=first['index'], version=2)
    assert (item['index'], item['decision'], item['label']['id']) == (
        first['index'], 'keep', first['given']['id'])
    assert page.undo()['index'] == second['index']  # without an index: the last one that stands
    assert page.undo()['index'] == first['index']
    answer = page.post('/undo', {'list': 'issues'})
    assert answer.status_code == 409
    assert 'nothing to undo' in answer.get_json()['error']
    assert [row['decision'] for row in rows(folder)] == [
        'keep', 'remove', 'suggestion', 'undo', 'undo', 'undo']
    for found in (page.store, Client(folder).store):
        assert (found.status == OPEN).all()
        assert found.last() is None


def test_a_second_tab_loses_and_doubles_nothing(folder):
    page = Client(folder)
    page.item()
    body = page.body('keep')
    page.decide('keep')
    answer = page.post('/decide', {**body, 'decision': 'remove'})  # what another tab still shows
    assert answer.status_code == 409
    told = answer.get_json()
    assert 'Meanwhile' in told['error']
    assert (told['item']['index'], told['item']['decision']) == (body['index'], 'keep')
    assert page.post('/decide', body).status_code == 409  # or the same once more
    assert len(rows(folder)) == 1
    assert page.post('/undo', {'list': 'issues', 'index': body['index'],
                               'version': 0}).status_code == 409
    assert page.post('/decide', {**body, 'decision': 'remove', 'version': 1}).status_code == 200
    assert page.store.state(body['index']).decision == 'remove'


def test_skip_takes_no_decision_back(folder):
    page = Client(folder)
    index = page.item()['index']
    page.decide('remove')
    page.item(show='decided')
    page.decide('skip')
    assert page.store.status[index] == DECIDED
    assert len(rows(folder)) == 1


@pytest.mark.parametrize('cut', [1, 40])
def test_a_last_line_that_a_kill_cut_off_is_dropped_with_a_word(folder, caplog, cut):
    page = Client(folder)
    first, second = page.item()['index'], page.decide('keep')['index']
    page.decide('remove')
    path = folder / store.NAME
    path.write_bytes(path.read_bytes()[:-cut])
    found = Client(folder)
    assert 'line 3 was not written to its end' in caplog.text
    assert (found.store.status[first], found.store.status[second]) == (DECIDED, OPEN)
    assert path.read_bytes().endswith(b'}\n')
    found.item(show='open')
    found.decide('keep')
    assert len(rows(folder)) == 2


def test_a_kill_loses_no_decision_that_was_answered(folder):
    code = '''
import os, pathlib, sys
from bsce_tf.review import store
path, end = pathlib.Path(sys.argv[1]), 0
for number in range(100):
    end = store.append(path, b'%d\\n' % number, end)
    os.write(1, b'%d\\n' % number)
    if number == 57:
        os.kill(os.getpid(), 9)
'''
    done = subprocess.run([sys.executable, '-c', code, folder / 'file'], capture_output=True,
                          check=False)
    assert done.returncode == -9
    assert (folder / 'file').read_bytes() == done.stdout
    assert done.stdout.endswith(b'57\n')


def test_a_full_disk_is_told_and_nothing_half_is_left(folder, monkeypatch):
    page = Client(folder)
    page.item()
    page.decide('keep')
    before = (folder / store.NAME).read_bytes()
    write = os.write
    monkeypatch.setattr(os, 'write', lambda file, data: write(file, data[:20]))
    answer = page.post('/decide', page.body('keep'))
    monkeypatch.undo()
    assert answer.status_code == 507
    assert 'Not saved: No space left' in answer.get_json()['error']
    assert (folder / store.NAME).read_bytes() == before
    assert page.store.status[page.now['item']['index']] == OPEN
    page.decide('keep')
    assert len(rows(folder)) == 2


def test_images_that_were_replaced_since_are_asked_again(folder, images, caplog):
    page = Client(folder)
    item = page.item()
    page.decide('keep')
    place = images / item['name']
    before = place.read_bytes()
    try:
        place.write_bytes((images / 'train/01.png').read_bytes())
        found = Client(folder)
        assert '1 images were replaced' in caplog.text
        assert found.store.status[item['index']] == OPEN
        assert found.item()['index'] == item['index']
        found.decide('remove')
    finally:
        place.write_bytes(before)


@pytest.mark.parametrize(('line', 'message'), [
    ('{"decision": "keep"}\n', 'line 3 is no decision'), ('x\n', 'line 3 is no JSON'),
    ({'path': 'other.png'}, "'other.png' with the label"), ({'given_label': 'x'}, "label 'x'"),
    ({'label': 'x'}, "class 'x'"), ({'decision': 'x'}, 'line 3 is no decision'),
    ({'label': ''}, 'line 3 is no decision')])
def test_decisions_of_another_audit_or_damaged_ones_are_refused(folder, line, message):
    page = Client(folder)
    page.item()
    page.decide('keep')
    path = folder / store.NAME
    if isinstance(line, dict):
        line = json.dumps({**rows(folder)[0], **line}) + '\n'
    path.write_text(path.read_text() + line)
    with pytest.raises(InputError, match=message) as caught:
        Client(folder)
    assert str(path) in str(caught.value)


def test_another_file_under_the_name_is_refused(folder):
    (folder / store.NAME).write_text('{"path": "a"}\n')
    with pytest.raises(InputError, match='begins with'):
        Client(folder)


def test_the_decision_of_one_of_two_equal_rows_leaves_the_other(folder):
    page = Client(folder)
    before = page.found.before
    twice = before.subset(np.array([5, 7, 5]))
    key = decisions.keys(twice)
    assert [key(i)[2] for i in range(3)] == [0, 0, 1]
    row = decisions.Decision(*key(2), decisions.digest(twice, 2), 'remove', '', 'Ada', 't')
    path = folder / 'd.jsonl'
    path.write_bytes(decisions.line(decisions.HEADER) + decisions.line(row))
    chosen, labels, decided = decisions.applied(twice, np.arange(3), twice.labels, str(path))
    assert chosen.tolist() == [0, 1]
    assert not decided.any()


def test_the_rate_needs_two_decisions(folder):
    page = Client(folder)
    page.item()
    page.decide('keep')
    assert page.now['rate'] is None
    page.decide('keep')
    assert page.now['rate'] > 0
    assert page.store.status.tolist().count(SKIPPED) == 0
