"""Runs a Flask application on a socket, in threads."""

import contextlib
import threading

from werkzeug import serving


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
