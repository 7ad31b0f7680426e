"""The command: a server on this machine alone, its start, its end, and what refuses to start."""

import builtins
import http.client
import json
import os
import re
import shutil
import signal
import socket
import time
import urllib.request

import numpy as np
import pytest

from bsce_tf import cli
from bsce_tf.errors import InputError, RunError
from bsce_tf.report import thumbnails
from bsce_tf.review import review
from tests import processes
from tests.review import audited


def opened(address):
    """(function of a path → bytes, base address) of a browser that was given the address."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    browser.open(address, timeout=30).read()
    base = address.split('?')[0]
    return lambda path: browser.open(base + path, timeout=30).read(), base


def test_it_serves_this_machine_alone_and_writes_the_list_at_the_end(images, folder, capsys):
    other = shutil.copytree(folder, folder.parent / 'other')
    with review.serving(audited.settings(images), folder) as address:
        get, base = opened(address)
        port = int(base.rpartition(':')[2].strip('/'))
        assert json.loads(get('item'))['total'] == 8
        assert len((folder / 'reviewed.csv').read_text(encoding='utf-8').splitlines()) == 73
        own = [where[4][0] for where in socket.getaddrinfo(socket.gethostname(), port)]
        for outside in set(own) - {'127.0.0.1', '::1'}:
            with pytest.raises(OSError, match='refused|unreachable|timed out'):
                socket.create_connection((outside, port), timeout=2)
        with pytest.raises(RunError, match='is in use by process'), review.serving(
                audited.settings(images), folder):
            pass
        with pytest.raises(InputError, match=f'review.port: {port} is in use'), review.serving(
                audited.settings(images, **{'review.port': port}), other):
            pass
    assert 'decisions on 0 images' in capsys.readouterr().out
    with pytest.raises(OSError, match='refused'):
        http.client.HTTPConnection('127.0.0.1', port).connect()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_or_killed_server_keeps_what_it_answered(images, folder, tmp_path, number):
    config = audited.settings(images)
    process = processes.SERVER.Process(target=_serve, args=(config, folder, tmp_path / 'out'))
    process.start()
    address = _wait(tmp_path / 'out')
    get, base = opened(address)
    token = re.search(r'token=(.*)', address)[1]
    item = json.loads(get('item'))['item']
    post = http.client.HTTPConnection(base[7:-1], timeout=30)
    post.request('POST', '/decide', json.dumps({
        'list': 'issues', 'place': 0, 'index': item['index'], 'version': 0,
        'digest': item['digest'], 'decision': 'remove'}), {
            'Content-Type': 'application/json', 'X-Page-Token': token,
            'Cookie': f'bsce_review_{base[7:-1].rpartition(":")[2]}={token}'})
    assert post.getresponse().status == 200
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == (-9 if number == signal.SIGKILL else 0)
    lines = (folder / 'decisions.jsonl').read_text().splitlines()
    assert [json.loads(line)['decision'] for line in lines[1:]] == ['remove']
    if number == signal.SIGKILL:
        with review.serving(config, folder):  # the lock went with the process
            pass
    assert item['name'] not in (folder / 'reviewed.csv').read_text(encoding='utf-8')


def test_without_flask_one_line_says_so(images, folder, monkeypatch):
    load = builtins.__import__

    def without(name, *arguments, **values):
        if name.partition('.')[0] == 'flask' or 'app' in (values.get('fromlist') or arguments[2:3]
                                                          or [()])[0]:
            raise ImportError("No module named 'flask'")
        return load(name, *arguments, **values)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(InputError, match=r"pip install 'bsce-tf\[review\]'"), review.serving(
            audited.settings(images), folder):
        pass


@pytest.mark.parametrize(('place', 'message'), [
    ('nowhere', 'has no label_issues.csv'), ('file', 'has no label_issues.csv')])
def test_another_folder_is_refused_in_one_line(tmp_path, capsys, place, message):
    (tmp_path / 'file').touch()
    assert cli.main(['bsce', 'review', f'--workdir={tmp_path / place}',
                     '--config.review.reviewer=Ada']) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: --workdir')
    assert message in error
    assert not (tmp_path / 'nowhere').exists()


def test_no_login_name_is_told(images, folder, monkeypatch):
    def fail():
        raise KeyError('getpwuid')
    monkeypatch.setattr(review.getpass, 'getuser', fail)
    with pytest.raises(InputError, match='review.reviewer'), review.serving(
            audited.settings(images, **{'review.reviewer': ''}), folder):
        pass


def _serve(config, folder, output):
    # The first decoding takes seconds, and these tests are not about pictures.
    thumbnails.pixels = lambda *_: np.zeros((8, 8, 3), np.uint8)
    with open(output, 'w') as file:
        os.dup2(file.fileno(), 1)
        review.review(config, folder)


def _wait(output):
    for _ in range(600):
        found = re.search(r'http://\S+', output.read_text() if output.exists() else '')
        if found:
            return found[0]
        time.sleep(0.1)
    raise TimeoutError(output)
