import csv
import io
import socket
import subprocess
import sys
import threading

import pytest

from bsce_tf.serving import client, transport
from tests.serving.double import Double
from tests.serving.exported import ask_c_api, pictures


@pytest.fixture(scope='module')
def double(single):
    """(the test double, its URLs), around the export that refuses a bad image."""
    made = Double(single)
    with made.serving() as urls:
        yield made, urls


@pytest.fixture
def paths(tmp_path):
    for name, data in zip('abcde', pictures(), strict=True):
        (tmp_path / f'{name}.img').write_bytes(data)
    return [str(tmp_path / f'{name}.img') for name in 'abcde']


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(transport, '_FIRST_WAIT', 0.01)


def rows(text):
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize('way', [0, 1], ids=['rest', 'grpc'])
def test_it_prints_what_the_model_says(double, single, paths, capsys, way):
    server, urls = double
    server.sizes.clear()
    assert client.main([f'--url={urls[way]}', '--batch=2', '--top=3', *paths]) == 0
    header, *found = rows(capsys.readouterr().out)
    assert header == ['path', 'class', 'score', 'class_2', 'score_2', 'class_3', 'score_3']
    assert server.sizes == [2, 2, 1]
    (own,), _ = ask_c_api(single, [pictures()])
    for i, (path, row) in enumerate(zip(paths, found, strict=True)):
        assert row[0] == path
        assert row[1::2] == own['class_names'][i, :3].tolist()
        assert [float(x) for x in row[2::2]] == pytest.approx(own['scores'][i, :3], rel=1e-4)


@pytest.mark.parametrize('way', [0, 1], ids=['rest', 'grpc'])
def test_it_tries_again_while_the_server_starts(double, paths, capsys, way):
    server, urls = double
    server.failures = 2
    assert client.main([f'--url={urls[way]}', *paths[:1]]) == 0
    assert len(rows(capsys.readouterr().out)) == 2
    server.failures = 5
    assert client.main([f'--url={urls[way]}', '--retries=2', *paths[:1]]) == 1
    assert 'not available' in (told := capsys.readouterr().err)
    assert told.rstrip().endswith('tried 3 times')
    assert told.count('\n') == 1
    assert server.failures == 2
    server.failures = 0


@pytest.mark.parametrize('way', [0, 1], ids=['rest', 'grpc'])
def test_a_bad_image_is_named(double, paths, tmp_path, capsys, way):
    (tmp_path / 'bad.jpg').write_bytes(b'text')
    status = client.main([f'--url={double[1][way]}', '--batch=3', *paths[:4],
                          str(tmp_path / 'bad.jpg')])
    assert status == 1
    found = capsys.readouterr()
    assert len(rows(found.out)) == 4  # the batch before it
    assert found.err.startswith(f'error: {tmp_path / "bad.jpg"}: the server says: image_bytes[1] ')
    assert found.err.count('\n') == 1


def test_a_bad_image_that_fails_alone_is_named_too(pair, paths, tmp_path, capsys):
    (tmp_path / 'bad.jpg').write_bytes(b'text')
    server = Double(pair, 'both')
    with server.serving() as urls:
        for url in urls:
            status = client.main([f'--url={url}', paths[0], str(tmp_path / 'bad.jpg'), paths[1]])
            found = capsys.readouterr()
            assert status == 1
            assert found.err == (f'error: {tmp_path / "bad.jpg"}: the server could not use this '
                                 'image\n')
            _, good, bad, other = rows(found.out)
            assert good[1].startswith('bar')
            assert other[1].startswith('bar')
            assert bad[1:] == ['', '0'] * 6


@pytest.mark.parametrize(('flags', 'message'), [
    (['--url=ftp://host/x'], "--url: found 'ftp://host/x'; expected http://host:port"),
    (['--url=http://host:port/x'], "--url: found 'http://host:port/x'; expected"),
    (['--url=grpc://host/x'], "--url: found 'grpc://host/x'; expected"),
    (['--url=http://host', '--batch=0'], "found '0'; expected a whole number ≥ 1"),
    (['--url=http://host', '--timeout=soon'], "found 'soon'; expected a number"),
    ([], 'the following arguments are required: --url')])
def test_bad_flags_end_in_one_line(paths, capsys, flags, message):
    assert client.main([*flags, paths[0]]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count('\n') == 1


def test_missing_files_and_servers_are_named(double, paths, tmp_path, capsys):
    url = double[1][0]
    assert client.main([f'--url={url}', paths[0], str(tmp_path / 'none.jpg')]) == 2
    found = capsys.readouterr()
    assert found.out == ''
    assert found.err == f'error: {tmp_path / "none.jpg"}: no such file; expected an image file.\n'
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{unused.getsockname()[1]}'
    for url in (f'http://{address}/v1/models/m', f'grpc://{address}/m'):
        assert client.main([f'--url={url}', '--retries=1', paths[0]]) == 1
        assert f'{url}' in (told := capsys.readouterr().err)
        assert 'no connection' in told
        assert 'tried 2 times' in told
        assert told.count('\n') == 1


def test_another_model_is_not_found(double, paths, capsys):
    for url in double[1]:
        assert client.main([f'--url={url.removesuffix("bsce_tf")}other', paths[0]]) == 1
        assert 'Servable not found' in capsys.readouterr().err


@pytest.mark.parametrize(('status', 'body', 'message'), [
    (200, b'<html>', 'not an answer of a model'),
    (200, {'predictions': [[0.1, 0.9]]}, 'not an answer of a model'),
    (200, {'predictions': []}, 'not an answer of a model'),
    (200, {'predictions': [{'class_names': ['a'], 'scores': ['b']}]}, 'not an answer of a model'),
    (200, {'predictions': [{'class_names': ['a', 'b'], 'scores': [1.0]}]}, 'not an answer of'),
    (200, [1], 'not an answer of a model'),
    (401, {'error': {'code': 401, 'message': 'who?'}}, "HTTP 401: {'code': 401, 'message'"),
    (500, b'', 'HTTP 500: Internal Server Error'),
    (400, {'error': 'Missing input\nimage_bytes'}, 'HTTP 400: Missing input image_bytes')])
def test_strange_answers_end_in_one_line(double, paths, capsys, status, body, message):
    server, urls = double
    server.instead = status, body
    try:
        assert client.main([f'--url={urls[0]}', paths[0]]) == 1
    finally:
        server.instead = None
    told = capsys.readouterr().err
    assert message in told
    assert told.count('\n') == 1


def test_a_server_that_does_not_answer_in_time(paths, capsys):
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        address = f'127.0.0.1:{silent.getsockname()[1]}'
        threading.Thread(target=silent.accept, daemon=True).start()
        assert client.main([f'--url=http://{address}/v1/models/m', '--timeout=0.2', paths[0]]) == 1
    assert 'no answer within 0.2 s' in capsys.readouterr().err


def test_rest_needs_no_tensorflow():
    code = ('import sys; from bsce_tf.serving import client, transport; '
            'transport.connect("http://host/v1/models/m"); '
            'sys.exit("tensorflow" in sys.modules or "keras" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0
