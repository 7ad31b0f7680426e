"""The page in a browser, where one is installed: keys, mouse, a phone, long lists."""

import contextlib
import time
from types import SimpleNamespace

import numpy as np
import pytest

from bsce_tf.data.examples import Examples
from bsce_tf.review import app, catalogue, store
from bsce_tf.web import server
from tests.smoke import smoke
from tests.web import chromium

pytestmark = pytest.mark.skipif(chromium.CHROMIUM is None, reason='no Chromium is installed')
ROWS, CLASSES = 10_000, 50_000
TOKEN = 'secret'


def large(folder):
    """A `Catalogue` of 12,000 images in 50,000 classes, 10,000 of them listed."""
    rng = np.random.default_rng(0)
    number = ROWS + 2000
    names = tuple(f'Größe {k:05d} of shoe, by maker {k % 97}' for k in range(CLASSES))
    train = Examples(rng.integers(0, 500, number), names,
                     images=rng.integers(0, 256, (number, 40, 30, 3), np.uint8))
    listed = np.arange(number) < ROWS
    suggested = ((train.labels + 1) % 500).astype(np.int32)
    best = np.stack([(suggested + k) % 500 for k in range(5)], axis=1)
    return catalogue.Catalogue(
        folder, smoke(), train, train, np.zeros(number, bool), rng.uniform(size=number),
        rng.uniform(size=number), listed, suggested, best, np.full(best.shape, 0.2),
        {'issues': np.arange(ROWS), 'two_labels': np.array([5]),
         'one_label': np.array([], np.int64), 'sample': np.array([], np.int64)},
        {5: [(6, 0.99)], 6: [(5, 0.99)]}, [], train.counts)


@contextlib.contextmanager
def served(found):
    """Context manager: (address, the `Store`)."""
    kept = store.Store(found.folder / store.NAME, found, 'Ada')
    made = app.make(found, kept, TOKEN, SimpleNamespace(problem=''))
    with server.bound(0, 'review.port') as listening, server.running(made, listening):
        yield f'http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}', kept


def shown(page):
    return page.until('typeof now !== "undefined" && now && now.item && !busy && '
                      'document.getElementById("picture").complete && now.item')


def test_keys_mouse_and_a_phone_on_long_lists(tmp_path):
    found = large(tmp_path)
    with served(found) as (address, kept), chromium.browser(tmp_path) as page:
        page.size(1280, 800)
        page.open(address)
        assert shown(page)['index'] == 0
        assert page.run('location.search') == ''  # the token has left the address
        assert page.run('document.getElementById("picture").naturalWidth') == 30
        assert page.run('[...document.querySelectorAll("#sides img")].length') == 6
        for key in 'ktrs':
            page.key(key)
            page.until(f'now.item.index === {"ktrs".index(key) + 1} && !busy')
        assert [kept.state(i).decision for i in range(4)] == [
            'keep', 'suggestion', 'remove', 'skip']
        assert kept.state(1).label == found.suggested[1]
        page.key('3')  # the third of the best classes
        page.until('now.item.index === 5')
        assert kept.state(4).label == found.best[4, 2]
        page.key('u')
        page.until('now.item.index === 4 && !busy')
        assert kept.state(4).decision == ''
        page.key('ArrowRight')
        page.until('now.item.index === 5 && !busy')
        page.key('ArrowLeft')
        page.until('now.item.index === 4 && !busy')
        # Another class, by a part of its name, typed key by key.
        page.key('a')
        page.until('document.getElementById("search").open')
        begin = time.monotonic()
        for letter in 'grosse 43217':
            page.key(letter)
        page.until('search.found.length === 1')
        assert time.monotonic() - begin < 5
        page.key('Enter')
        page.until('now.item.index === 5 && !busy')
        assert kept.state(4).label == 43217
        page.key('k')  # and keys decide again
        page.until('now.item.index === 6 && !busy')
        # Many are found: at most 50 are shown, and the arrows choose.
        page.key('a')
        page.key('g')
        page.until('document.querySelectorAll("#found li").length === 50')
        page.key('ArrowDown')
        page.key('ArrowDown')
        chosen = page.run('search.found[2].id')
        assert page.run('document.querySelector("#found [aria-selected=true]").id') == 'found-2'
        page.key('Enter')
        page.until('now.item.index === 7 && !busy')
        assert kept.state(6).label == chosen
        page.click('[data-do="remove"]')
        page.until('now.item.index === 8 && !busy')
        assert kept.state(7).decision == 'remove'
        page.click('#best button')
        page.until('now.item.index === 9 && !busy')
        assert kept.state(8).label == found.best[8, 0]
        assert '8 of 10,000 decided, 1 skipped' in page.run(
            'document.getElementById("progress").textContent')
        page.run('form.elements.list.value = "two_labels"; form.onchange({target: form}); 0')
        page.until('now.list === "two_labels" && !busy')
        assert page.run('document.getElementById("none").hidden') is False  # 5 was kept above
        page.run('form.elements.show.value = "all"; form.onchange({target: form}); 0')
        page.until('now.item && now.item.index === 5 && !busy')
        assert page.run('document.querySelectorAll("#twins img").length') == 1
        page.click('#filters summary')
        _check_sizes(page)
        assert not page.errors
        assert {url.split('/')[2] for url in page.requests if not url.startswith('data:')} == {
            address.split('/')[2]}


def _check_sizes(page):
    """No sideways scrolling, buttons to be reached, and grounds of their own when dark."""
    grounds = set()
    for width, dark in ((390, False), (390, True), (1280, True), (1280, False)):
        page.size(width, 844, dark)
        assert page.until(f'innerWidth === {width}')
        assert page.run('document.documentElement.scrollWidth') <= width
        boxes = page.run('''[...document.querySelectorAll('[data-do]')].map(button => {
            const box = button.getBoundingClientRect();
            return [box.left, box.right, box.top, box.bottom, box.height];})''')
        for left, right, top, bottom, height in boxes:
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= 844
            assert height >= 40  # a thumb
        grounds.add((dark, page.run('getComputedStyle(document.body).backgroundColor')))
    assert len(grounds) == 2


def test_a_second_tab_and_a_stopped_server_are_told(tmp_path):
    found = large(tmp_path)
    with chromium.browser(tmp_path) as page:
        with served(found) as (address, kept):
            page.open(address)
            shown(page)
            kept.decide(0, 'remove', -1, 0, '')  # as by another tab
            page.key('k')
            page.until('document.getElementById("message").textContent.includes("Meanwhile")')
            assert page.run('now.item.index') == 0
            assert 'removed' in page.run('document.getElementById("state").textContent')
            page.key('k')
            page.until('now.item.index === 1 && !busy')
            assert kept.state(0).decision == 'keep'
        page.key('k')
        page.until('document.getElementById("message").textContent.includes("does not answer")')
        assert kept.state(1).decision == ''


def test_without_javascript_one_line_says_so(tmp_path):
    with served(large(tmp_path)) as (address, _), chromium.browser(tmp_path) as page:
        page.call('Emulation.setScriptExecutionDisabled', value=True)
        page.open(address)
        time.sleep(1)
        root = page.call('DOM.getDocument', depth=-1)['root']['nodeId']
        note = page.call('DOM.querySelector', nodeId=root, selector='noscript p')['nodeId']
        assert note
        box = page.call('DOM.getBoxModel', nodeId=note)['model']
        assert box['height'] > 10


def test_searching_50_000_names_takes_milliseconds():
    from bsce_tf.review.search import Search
    found = Search([f'Größe {k:05d} of shoe, by maker {k % 97}' for k in range(CLASSES)])
    begin = time.process_time()
    for text in ('g', 'gr', 'shoe', 'maker 12', 'GRÖSSE 43217', 'x'):
        found.find(text)
    assert (time.process_time() - begin) / 6 < 0.5
    assert found.find('groSSe 43217') == [43217]
