"""The demo page: what it answers, to whom, and in a browser."""

import base64
import contextlib
import http.client
import json
import re
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import cli
from bsce_tf.data.sources import generated
from bsce_tf.demo_page import answers, app, demo_page
from bsce_tf.errors import InputError
from bsce_tf.evaluation import networks
from bsce_tf.serving import export
from bsce_tf.training.train import train
from bsce_tf.web import security
from tests.serving.exported import encoded, unchecked
from tests.smoke import smoke
from tests.web import chromium

TOKEN = 'secret'
PICTURE = encoded(generated.load().test.images[0])


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Folders of two runs whose crops differ."""
    base = tmp_path_factory.mktemp('demo_page')
    second = smoke(epochs=1, batch_size=16, seed=1)
    second.image.update(size=28, scales=(30, 34), eval_scale=30)
    for name, config in (('first', smoke(epochs=1, batch_size=16)), ('second', second)):
        train(config, base / name)
    return base / 'first', base / 'second'


@pytest.fixture(scope='module')
def model(runs):
    return answers.load(smoke(), ','.join(map(str, runs)))


@pytest.fixture
def client(model):
    found = app.make(model, TOKEN).test_client()
    found.environ_base['SERVER_PORT'] = '80'
    found.get(f'/?token={TOKEN}', headers={'Host': '127.0.0.1'})
    return found


def post(client, data, **headers):
    return client.post('/answer', data=data, headers={
        'Host': '127.0.0.1', security.HEADER: TOKEN, **headers})


def pixels(uri):
    return tf.io.decode_image(base64.b64decode(uri.partition(',')[2])).numpy()


def expected(folders):
    """{class: (mean probability, votes)} by the networks themselves, one after another."""
    loaded = [networks.load(folder) for folder in folders]
    image, names = generated.load().test.images[0], generated.load().train.class_names
    each = [tf.nn.softmax(network.outputs(network.view.centre(image)[None])[1])[0].numpy()
            for network in loaded]
    votes = [int(probabilities.argmax()) for probabilities in each]
    return {name: (np.mean(each, axis=0)[k], votes.count(k)) for k, name in enumerate(names)}


def test_its_answers_are_those_of_the_runs(client, model, runs):
    found, own = post(client, PICTURE).get_json(), expected(runs)
    image = generated.load().test.images[0]
    for row in found['classes']:
        assert (row['score'], row['votes']) == pytest.approx(own[row['name']], abs=1e-5)
    best = sorted(own, key=lambda name: (own[name][1], own[name][0]), reverse=True)
    assert [row['name'] for row in found['classes']] == best[:5]
    np.testing.assert_array_equal(pixels(found['picture']), image)
    assert [(crop['scale'], crop['size']) for crop in found['crops']] == [
        (scale, view.size) for view in model._views for scale in view.scales]
    assert len(found['crops']) >= 3
    crops = [crop for view in model._views for crop in view.centre(image).numpy()]
    for crop, seen in zip(found['crops'], crops, strict=True):
        np.testing.assert_array_equal(pixels(crop['picture']), seen)


def test_examples_are_training_images_of_the_class(client, model):
    data = generated.load().train
    for row in post(client, PICTURE).get_json()['classes']:
        assert len(row['examples']) == 4
        label = data.class_names.index(row['name'])
        images = {data.images[i].tobytes() for i in np.flatnonzero(data.labels == label)}
        for uri in row['examples']:
            assert pixels(uri).tobytes() in images


@pytest.mark.parametrize(('data', 'message'), [
    (b'', 'cannot be used'), (b'not an image', 'not an image but a file'),
    (PICTURE[:60], 'cannot be used')],
    ids=['empty', 'text', 'cut off'])
def test_what_is_no_picture_is_refused_in_a_line(client, data, message):
    found = post(client, data)
    assert found.status_code == 400
    assert message in found.get_json()['error']
    assert '\n' not in found.get_json()['error']
    assert post(client, PICTURE).status_code == 200


def test_too_large_pictures_are_refused(client, runs, monkeypatch):
    config = smoke(**{'data.max_pixels': 100})
    small = app.make(answers.load(config, runs[0]), TOKEN).test_client()
    small.environ_base['SERVER_PORT'] = '80'
    small.get(f'/?token={TOKEN}', headers={'Host': '127.0.0.1'})
    assert 'pixels' in post(small, PICTURE).get_json()['error']
    assert post(client, b'0' * ((1 << 26) + 1)).status_code == 413


def test_strangers_and_other_pages_are_refused(client, model):
    stranger = app.make(model, TOKEN).test_client()
    answer = stranger.get('/', headers={'Host': '127.0.0.1'})
    assert (answer.status_code, answer.get_data(as_text=True).count('bsce demo-page')) == (403, 1)
    assert post(client, PICTURE, Origin='http://evil.example').status_code == 403
    assert post(client, PICTURE, **{security.HEADER: ''}).status_code == 403
    assert client.get('/page.js', headers={'Host': 'evil.example'}).status_code == 403


def test_an_export_shows_the_same(runs, tmp_path):
    with unchecked():
        version = export.export(smoke(**{'export.folder': str(tmp_path), 'data.max_pixels': 2000}),
                                runs[0])
    served = answers.load(smoke(**{'predict.model': str(version.parent)}), '')
    assert served.notes == []
    found, own = served.answer(PICTURE), expected(runs[:1])
    for row in found['classes']:
        assert row['score'] == pytest.approx(own[row['name']][0], abs=1e-4)
        assert len(row['examples']) == 4
    view = networks.load(runs[0]).view
    for crop, seen in zip(found['crops'], view.centre(
            generated.load().test.images[0]).numpy(), strict=True):
        np.testing.assert_array_equal(pixels(crop['picture']), seen)
    with pytest.raises(InputError, match='pixels'):  # the limit is the export's
        served.answer(encoded(np.zeros((60, 60, 3), np.uint8)))
    (version / 'assets' / 'config.json').unlink()
    note = answers._of_export(version / 'assets', 0)[3][0]
    assert note.startswith('No example pictures: ')
    (version / 'assets' / 'export.json').unlink()
    views, train, _, notes = answers._of_export(version / 'assets', 0)
    assert (views, train, len(notes)) == ([], None, 1)


def test_it_is_served_on_this_machine_and_a_used_port_is_told(runs):
    config = smoke(**{'demo_page.port': 0})
    with demo_page.serving(config, runs[0]) as address:
        host, port = re.fullmatch(r'http://(127.0.0.1):(\d+)/\?token=.*', address).groups()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b'Try the model' in opener.open(address).read()
        told = json.loads(opener.open(f'http://{host}:{port}/model').read())
        assert told == {'name': str(runs[0]), 'notes': []}
        with pytest.raises(InputError, match=f'demo_page.port: {port} is in use'), (
                demo_page.serving(smoke(**{'demo_page.port': int(port)}), runs[0])):
            pass
    with pytest.raises(OSError, match='refused'):
        http.client.HTTPConnection(host, int(port)).connect()


def test_the_command_and_a_folder_without_a_run(tmp_path, capsys):
    assert cli.main(['bsce', 'demo-page', f'--workdir={tmp_path}']) == 2
    assert 'has no config.json' in capsys.readouterr().err
    assert cli.main(['bsce', 'demo-page', '--config.predict.model=/none/such']) == 2
    assert 'saved_model.pb' in capsys.readouterr().err


@contextlib.contextmanager
def opened(runs, folder):
    with demo_page.serving(smoke(**{'demo_page.port': 0}), ','.join(map(str, runs))) as address, (
            chromium.browser(folder)) as page:
        yield page, address


_DROP = '''(() => {
    const bytes = Uint8Array.from(atob(%s), letter => letter.charCodeAt(0));
    const dropped = new DataTransfer();
    dropped.items.add(new File([bytes], 'shoe.png'));
    document.dispatchEvent(new DragEvent('drop', {dataTransfer: dropped, cancelable: true}));
})()'''


@pytest.mark.skipif(chromium.CHROMIUM is None, reason='no Chromium is installed')
def test_a_picture_is_dropped_in_a_browser(runs, tmp_path):
    with opened(runs, tmp_path) as (page, address):
        for width, dark in ((1280, False), (390, True)):
            page.size(width, 900, dark)
            page.open(address)
            page.until('document.getElementById("model")?.textContent')
            page.run(_DROP % json.dumps(base64.b64encode(PICTURE).decode()))
            page.until('!document.getElementById("answer").hidden')
            page.until('[...document.images].every(image => image.complete)')
            assert page.run('document.querySelectorAll("#classes li").length') == 5
            assert page.run('document.querySelectorAll("#classes img").length') == 20
            assert page.run('document.querySelectorAll("#crops img").length') >= 3
            assert page.run('[...document.images].every(image => image.naturalWidth > 0)')
            assert page.run('document.documentElement.scrollWidth') <= width
            page.run(_DROP % json.dumps(base64.b64encode(b'no picture').decode()))
            page.until('document.getElementById("message").textContent.includes("cannot be used")')
            assert page.run('document.getElementById("answer").hidden')
        assert [error for error in page.errors if '400' not in error] == []
        own = address.partition('/?')[0]
        assert all(request.startswith((own, 'data:')) for request in page.requests)
