"""The page's requests by Flask's test client, without a server."""

import contextlib
from types import SimpleNamespace

from bsce_tf.review import app, catalogue, result, store
from bsce_tf.web import security

TOKEN = 'secret'


class Client:
    """Asks as the page does. `store` and `found` are those of the review."""

    def __init__(self, folder, reviewer='Ada', order='gain', others='given', sample=0):
        self.found = catalogue.read(folder, order, sample)
        self.store = store.Store(folder / store.NAME, self.found, reviewer)
        self.result = result.Result(self.found, self.store, others)
        self.app = app.make(self.found, self.store, TOKEN, SimpleNamespace(problem=''))
        self.http = self.app.test_client()
        self.http.environ_base['SERVER_PORT'] = '80'
        self.http.get(f'/?token={TOKEN}', headers={'Host': '127.0.0.1'})
        self.now = None

    def get(self, path, **query):
        return self.http.get(path, query_string=query, headers={'Host': '127.0.0.1'})

    def item(self, **query):
        self.now = self.get('/item', **query).get_json()
        return self.now['item']

    def post(self, path, body, **headers):
        return self.http.post(path, json=body, headers={
            'Host': '127.0.0.1', security.HEADER: TOKEN, **headers})

    def body(self, decision='keep', label=None, **values):
        item = self.now['item']
        return {'list': self.now['list'], 'place': self.now['place'], 'index': item['index'],
                'version': item['version'], 'digest': item['digest'], 'decision': decision,
                'label': label, 'problem': bool(item['problem']), **values}

    def decide(self, decision, label=None, **values):
        """Decides on the image that is shown; returns the next one."""
        answer = self.post('/decide', self.body(decision, label, **values))
        assert answer.status_code == 200, answer.get_data(as_text=True)
        self.now = answer.get_json()
        return self.now['item']

    def undo(self, **values):
        answer = self.post('/undo', {'list': 'issues', **values})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        self.now = answer.get_json()
        return self.now['item']


@contextlib.contextmanager
def removed(path):
    """Context manager: a file is gone meanwhile."""
    data = path.read_bytes()
    path.unlink()
    try:
        yield
    finally:
        path.write_bytes(data)
