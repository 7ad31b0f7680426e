"""The files of a page: page.html, page.css and page.js of a package."""

import importlib.resources

import flask


def add(app, package, styles, **words):
    """Adds the addresses of a page's files.

    Args:
      app: a `flask.Flask`.
      package: name of the package that holds the files.
      styles: style sheet to put before page.css.
      **words: what stands in page.html in place of these words.
    """
    def read(name):
        return importlib.resources.files(package).joinpath(name).read_text(encoding='utf-8')

    page = read('page.html')
    for word, value in words.items():
        page = page.replace(word, value)

    @app.get('/')
    def index():
        return flask.Response(page, mimetype='text/html')

    @app.get('/page.css')
    def style():
        return flask.Response(styles + read('page.css'), mimetype='text/css')

    @app.get('/page.js')
    def script():
        return flask.Response(read('page.js'), mimetype='text/javascript')
