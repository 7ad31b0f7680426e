"""Runs a Flask application on a socket, in threads."""

import contextlib
import errno
import socket
import threading

from werkzeug import serving

from bsce_tf.errors import InputError

HOST = '127.0.0.1'


class _Quiet(serving.WSGIRequestHandler):
    """Without a line for each request."""

    protocol_version = 'HTTP/1.1'  # connections stay open

    def log_request(self, code='-', size='-'):
        pass


@contextlib.contextmanager
def running(app, listening):
    """Context manager: serves `app` on a listening socket until its end."""
    host, port = listening.getsockname()
    server = serving.make_server(host, port, app, threaded=True, request_handler=_Quiet,
                                 fd=listening.fileno())
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.1})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def bound(port, field):
    """A socket that listens on the port, on this machine alone.

    Args:
      port: 0 for any that is free.
      field: of the config that names it, for messages.

    Raises:
      InputError: if the port is in use or may not be taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = 'in use' if error.errno == errno.EADDRINUSE else error.strerror
        raise InputError(f'{field}: {port} is {why}; expected a free port, or 0 for any.'
                         ) from error
    return listening


def address(listening, token):
    """What the user opens in a browser."""
    return f'http://{HOST}:{listening.getsockname()[1]}/?token={token}'
