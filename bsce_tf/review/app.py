"""The page and what it asks for, as a Flask application."""

import secrets

import flask

from bsce_tf.data import decisions
from bsce_tf.errors import InputError, StorageError
from bsce_tf.report import style
from bsce_tf.review import catalogue, describe, view
from bsce_tf.review.pictures import SIDES, Pictures
from bsce_tf.review.search import Search
from bsce_tf.review.store import StaleError
from bsce_tf.web import pages, security

_MOST = 1 << 16  # bytes of a request
_STALE = ('Meanwhile this image was decided otherwise, as in a second tab. It is shown as it is '
          'now; nothing was written.')


def make(found, store, token, writer):
    """The `flask.Flask` of a review.

    No path is ever taken from a request, only places in lists and indices of images.

    Args:
      found: a `catalogue.Catalogue`.
      store: its `store.Store`.
      token: see `security.guard`.
      writer: a `result.Writer`, for its `problem`.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.config['MAX_CONTENT_LENGTH'] = _MOST
    security.guard(app, token, 'bsce review')
    pictures = Pictures(found.train, found.config.data.max_pixels)
    describer = describe.Describer(found, store, pictures)
    describer.answer(view.parse({}, found.train.num_classes))  # the first decoding takes seconds
    search = Search(found.train.class_names)
    size = found.train.num_classes
    pages.add(app, 'bsce_tf.review', style.CSS, TOKEN=token, SESSION=secrets.token_hex(4))

    def shown(asked, **of):
        answer = describer.answer(asked, **of)
        notes = [*found.notes, *filter(None, [writer.problem])]
        return {**answer, 'notes': notes,
                'lists': {name: len(images) for name, images in found.lists.items()}}

    @app.get('/item')
    def item():
        return shown(view.parse(flask.request.args, size))

    @app.get('/classes')
    def classes():
        return [describer.named(k) for k in search.find(flask.request.args.get('find', ''))]

    @app.get('/picture/<int:place>/<kind>')
    def picture(place, kind):
        if place >= len(found.train) or kind not in SIDES:
            flask.abort(404)
        try:
            data, form = pictures.get(place, kind)
        except (InputError, StorageError) as error:
            return flask.Response(f'{error}\n', 404, mimetype='text/plain')
        answer = flask.Response(data, mimetype=f'image/{form}')
        answer.headers['Cache-Control'] = 'private, max-age=3600'
        return answer

    @app.errorhandler(StorageError)
    def unreachable(error):
        return flask.Response(f'{error}\n', 503, mimetype='text/plain')

    @app.post('/decide')
    def decide():
        values, asked, number = _posted(size)
        images = found.lists[asked.name]
        if not 0 <= asked.place < len(images) or images[asked.place] != number:
            raise ValueError('no such image in the list')
        label = describe.label_of(values.get('decision'), values.get('label'),
                                  int(found.train.labels[number]), size)
        if values.get('problem') and values['decision'] not in (decisions.REMOVE, decisions.SKIP):
            raise ValueError('an image that cannot be shown can be removed or skipped')
        store.decide(number, values['decision'], label, int(values.get('version', -1)),
                     str(values.get('digest', '')))
        return shown(asked)

    @app.post('/undo')
    def undo():
        values, asked, number = _posted(size)
        number = store.last() if number is None else number
        if number is None:
            return {'error': 'There is nothing to undo.'}, 409
        version = values.get('version')
        store.undo(number, store.state(number).version if version is None else int(version))
        for name in (asked.name, *catalogue.LISTS):
            places = (found.lists[name] == number).nonzero()[0]
            if len(places):
                return shown(asked._replace(name=name), place=int(places[0]))
        return shown(asked)

    @app.errorhandler(StaleError)
    def stale(_):
        asked = view.parse(flask.request.get_json(), size)
        inside = 0 <= asked.place < len(found.lists[asked.name])
        return {**shown(asked, place=asked.place if inside else 'next'), 'error': _STALE}, 409

    @app.errorhandler(ValueError)
    def wrong(error):
        return {'error': f'The request was refused: {error}.'}, 400

    @app.errorhandler(OSError)
    def failed(error):
        return {'error': f'Not saved: {error.strerror or error}. Free some space, or see that the '
                         'folder can be written, and decide again.'}, 507

    return app


def _posted(num_classes):
    """(dict of the request, its `view.View`, index of the image or None)."""
    values = flask.request.get_json()
    if not isinstance(values, dict):
        raise ValueError('expected a JSON object')
    number = values.get('index')
    if number is not None and type(number) is not int:
        raise ValueError('no such image')
    return values, view.parse(values, num_classes), number
