"""Who is refused: other hosts, other pages, anyone without the token."""

import json

import pytest

from bsce_tf.web import security
from tests.review.page_client import TOKEN, Client


@pytest.fixture
def page(folder):
    found = Client(folder)
    found.item()
    return found


@pytest.mark.parametrize('host', ['evil.example', 'evil.example:80', '127.0.0.1.evil.example',
                                  '192.168.0.7', '[', ''])
def test_another_host_name_is_refused(page, host):
    for path in ('/', '/item', '/picture/0/large', f'/?token={TOKEN}'):
        assert page.http.get(path, headers={'Host': host}).status_code == 403


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost:9000'])
def test_this_machine_and_a_tunnel_to_it_are_answered(page, host):
    page.http.set_cookie('bsce_review_80', TOKEN, domain=host.partition(':')[0])
    assert page.http.get('/item', headers={'Host': host}).status_code == 200


@pytest.mark.parametrize('path', ['/', '/item', '/classes?find=a', '/picture/0/large', '/page.js',
                                  '/?token=wrong', '/?token=%C3%A9'])
def test_nothing_is_answered_without_the_token(page, path):
    stranger = page.app.test_client()
    answer = stranger.get(path, headers={'Host': '127.0.0.1'})
    assert answer.status_code == 403
    assert TOKEN not in answer.get_data(as_text=True)
    assert answer.get_data(as_text=True).count('\n') == 1


@pytest.mark.parametrize('headers', [
    {security.HEADER: ''}, {security.HEADER: 'wrong'}, {'Origin': 'http://evil.example'},
    {'Origin': 'http://127.0.0.1:9'}, {'Origin': 'null'}])
@pytest.mark.parametrize('path', ['/decide', '/undo'])
def test_a_post_of_another_page_is_refused(page, folder, path, headers):
    assert page.post(path, page.body(), **headers).status_code == 403
    assert not (folder / 'decisions.jsonl').exists()
    assert page.post(path, page.body(), Origin='http://127.0.0.1').status_code in (200, 409)


def test_a_form_of_another_page_is_refused(page, folder):
    answer = page.http.post('/decide', data=json.dumps(page.body()), content_type='text/plain',
                            headers={'Host': '127.0.0.1', security.HEADER: TOKEN})
    assert answer.status_code == 415
    assert not (folder / 'decisions.jsonl').exists()


@pytest.mark.parametrize('values', [
    {'index': 1}, {'index': '../../etc/passwd'}, {'index': None}, {'place': 99}, {'place': -1},
    {'list': '../x'}, {'decision': 'x'}, {'decision': 'undo'},
    {'decision': 'another', 'label': 6}, {'decision': 'another', 'label': None},
    {'decision': 'suggestion', 'label': '1'}, {'decision': 'another', 'label': True}])
def test_only_images_of_the_list_and_known_classes_are_taken(page, folder, values):
    assert page.post('/decide', {**page.body(), **values}).status_code == 400
    assert not (folder / 'decisions.jsonl').exists()


@pytest.mark.parametrize('path', [
    '/picture/72/large', '/picture/-1/large', '/picture/../large', '/picture/0/..%2f..%2fx',
    '/picture/0/huge', '/picture/train%2f00.png/large', '/static/page.js', '/page.html'])
def test_no_path_leads_to_a_file(page, path):
    assert page.get(path).status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(page):
    for path in ('/', '/page.js', '/page.css', '/item'):
        answer = page.get(path)
        policy = answer.headers['Content-Security-Policy']
        assert policy.startswith("default-src 'none'")
        assert 'http' not in policy
        assert '//' not in answer.get_data(as_text=True).replace('// ', '')
    text = page.get('/').get_data(as_text=True)
    assert TOKEN in text
    assert '<noscript><p class="note">This page needs JavaScript' in text


def test_a_request_that_is_too_large_is_refused(page):
    assert page.post('/decide', page.body(digest='x' * 100_000)).status_code == 413
