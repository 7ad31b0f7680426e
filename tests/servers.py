"""Real servers on this machine: S3 (moto's) and one of files that can fail."""

import collections
import contextlib
import http.server
import os
import threading
import unittest.mock
import urllib.parse

import boto3
from moto.server import ThreadedMotoServer

from bsce_tf.storage import patience, systems

_KEYS = {'AWS_ACCESS_KEY_ID': 'key', 'AWS_SECRET_ACCESS_KEY': 'secret',
         'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_EC2_METADATA_DISABLED': 'true'}


@contextlib.contextmanager
def environment(**values):
    """Sets variables for file systems that are made within the block."""
    with unittest.mock.patch.dict(os.environ, values):
        _forget()
        yield
    _forget()


def _forget():
    import s3fs  # an import of a second, which other tests do without

    systems._systems.clear()
    patience._silent.clear()
    s3fs.S3FileSystem.clear_instance_cache()


@contextlib.contextmanager
def s3():
    """Yields a function (key, bytes) that puts an object into s3://shop, whose keys are set."""
    server = ThreadedMotoServer('127.0.0.1', port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f'http://{host}:{port}'
    try:
        with environment(**_KEYS, AWS_ENDPOINT_URL=address):
            client = boto3.client('s3')
            client.create_bucket(Bucket='shop')
            yield lambda key, data: client.put_object(Bucket='shop', Key=key, Body=data)
    finally:
        server.stop()


class Web:
    """A server of files, and what it answers first.

    Attributes:
      address: of its root, without a slash at the end.
      content: {path with its slash: bytes}.
      failures: {path: list of statuses to answer before the file}; 'cut' breaks off in the middle.
      down: status to answer everything with, or None.
      parts: whether it sends parts of files.
      asked: Counter of paths.
    """

    def __init__(self, address):
        self.address, self.content = address, {}
        self.failures, self.asked = collections.defaultdict(list), collections.Counter()
        self.down, self.parts = None, True


@contextlib.contextmanager
def web():
    """Yields a `Web`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = urllib.parse.unquote(self.path)
            found.asked[path] += 1
            failure = found.failures[path].pop(0) if found.failures[path] else found.down
            if path not in found.content:
                failure = failure or 404
            if failure and failure != 'cut':
                self.send_error(failure)
                return
            data = found.content[path]
            if found.parts and 'Range' in self.headers:
                first, last = self.headers['Range'].removeprefix('bytes=').split('-')
                data = data[int(first):int(last) + 1]
                self.send_response(206)
            else:
                self.send_response(200)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2] if failure else data)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = Web(f'http://127.0.0.1:{server.server_port}')
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
