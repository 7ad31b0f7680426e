"""The page and what it asks for, as a Flask application."""


import flask
import tensorflow as tf

from bsce_tf.errors import InputError, RunError
from bsce_tf.report import style
from bsce_tf.web import pages, security

_MOST = 1 << 26  # bytes of a picture


def make(model, token):
    """The `flask.Flask` of the page.

    Args:
      model: an `answers.Model`.
      token: see `security.guard`.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.config['MAX_CONTENT_LENGTH'] = _MOST
    security.guard(app, token, 'bsce demo-page')
    pages.add(app, 'bsce_tf.demo_page', style.CSS, TOKEN=token)

    @app.get('/model')
    def about():
        return {'name': model.name, 'notes': model.notes}

    @app.post('/answer')
    def answer():
        try:
            return model.answer(flask.request.get_data())
        except (InputError, RunError) as error:
            return {'error': str(error)}, 400
        except tf.errors.OpError as error:
            return {'error': f'The model refuses the picture: {error.message}'}, 400

    @app.errorhandler(413)
    def too_large(_):
        return {'error': f'The file is larger than {_MOST >> 20} MB.'}, 413

    return app
