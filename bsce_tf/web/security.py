"""Who may use the page: only a browser on this machine that got the address from the terminal.

The server listens on 127.0.0.1. That alone keeps out neither other users of the machine nor pages
of other sites in the user's browser. So every request needs a cookie, which the address with
the token sets; one with another host name is refused, as an attacker may let a name of his point
here (DNS rebinding); and one that changes something needs the token once more in a header, and an
origin of this server (cross-site request forgery).
"""

import hmac
import urllib.parse

import flask

HOSTS = ('127.0.0.1', 'localhost')
HEADER = 'X-Page-Token'
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def guard(app, token, command):
    """Adds the checks, and headers that keep a browser from loading anything from elsewhere.

    Args:
      app: a `flask.Flask`.
      token: secret text, without which no request is answered.
      command: that shows the address with the token, such as 'bsce review'.
    """

    @app.before_request
    def check():
        request = flask.request
        if _host(request.host) not in HOSTS:
            return _refused(f'Found another host name; expected one of {", ".join(HOSTS)}.')
        cookie = f'{command.replace(" ", "_")}_{request.environ.get("SERVER_PORT", "")}'
        if request.path == '/' and _same(request.args.get('token', ''), token):
            answer = flask.redirect('/')
            answer.set_cookie(cookie, token, httponly=True, samesite='Lax')
            return answer
        if not _same(request.cookies.get(cookie, ''), token):
            return _refused(f'Please open the address with the token that `{command}` shows in its '
                            'terminal.')
        if request.method not in ('GET', 'HEAD') and not (
                _same(request.headers.get(HEADER, ''), token)
                and request.headers.get('Origin') in (None, f'http://{request.host}')):
            return _refused('Found a request of another page; expected one of this page.')
        return None

    @app.after_request
    def close(response):
        response.headers['Content-Security-Policy'] = POLICY
        response.headers['X-Content-Type-Options'] = 'nosniff'
        response.headers['Referrer-Policy'] = 'no-referrer'
        response.headers['Cross-Origin-Resource-Policy'] = 'same-origin'
        response.headers.setdefault('Cache-Control', 'no-store')
        return response


def _host(text):
    try:
        return urllib.parse.urlsplit(f'//{text}').hostname
    except ValueError:
        return None


def _same(found, expected):
    return hmac.compare_digest(found.encode(), expected.encode())


def _refused(text):
    return flask.Response(text + '\n', 403, mimetype='text/plain')
