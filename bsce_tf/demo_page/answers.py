"""What the page shows of a picture: classes, examples, crops."""

import base64
import json
import threading

import numpy as np
import tensorflow as tf

from bsce_tf.data import prepare
from bsce_tf.data.images import check, decode
from bsce_tf.data.view import View
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, networks, predictors, run_config
from bsce_tf.report import thumbnails
from bsce_tf.serving import graph
from bsce_tf.training import strategy, workdir

_EXAMPLES = 4  # pictures of a class
_LARGE, _SMALL = 640, 160  # longer side of a shown picture in pixels, at most
_NO_EXAMPLES = 'No example pictures: '


class Model:
    """Answers pictures; safe in threads, one after another.

    Args:
      name: of the model, for the page.
      call: function of a list of bytes to a dict of tensors or arrays, as `graph.Graph` answers.
      views: list of `View`, whose crops are shown.
      train: `Examples` with pictures of the classes, or None.
      max_pixels: larger pictures are refused undecoded; 0 for no limit.
      notes: texts for the page.
    """

    def __init__(self, name, call, views, train, max_pixels, notes=()):
        self.name, self.notes, self._max_pixels = name, list(notes), max_pixels
        self._call, self._views, self._train = call, views, train
        self._lock, self._small = threading.Lock(), thumbnails.Thumbnails(max_pixels)
        if train is not None:
            self._order = np.argsort(train.labels, kind='stable')
            self._ends = np.cumsum(train.counts)
            self._ids = {name: k for k, name in enumerate(train.class_names)}

    def answer(self, data):
        """Dict for the page: 'picture', 'classes', 'crops', 'voting'.

        Args:
          data: bytes of an image file.

        Raises:
          InputError: if they are no image that can be used.
        """
        with self._lock, tf.device('/CPU:0'):
            reason = check.reason(data, self._max_pixels)
            if reason:
                raise InputError(f'The picture cannot be used: {reason}.')
            found = {name: np.asarray(x)[0] for name, x in self._call([data]).items()}
            image = decode.decode(tf.constant(data), self._max_pixels)
            names = [name.decode() for name in found['class_names']]
            return {'picture': _uri(image, _LARGE), 'voting': 'votes' in found,
                    'size': [int(side) for side in image.shape[1::-1]],
                    'classes': [{
                        'name': name, 'score': float(found['scores'][i]),
                        'votes': int(found['votes'][i]) if 'votes' in found else 0,
                        'examples': self._examples(name)} for i, name in enumerate(names)],
                    'crops': [{'scale': scale, 'size': view.size, 'picture': _uri(crop, _SMALL)}
                              for view in self._views
                              for scale, crop in zip(view.scales, view.centre(image), strict=True)]}

    def warm_up(self):
        """Answers a black picture, as the first answer takes seconds."""
        self.answer(tf.io.encode_png(np.zeros([32, 32, 3], np.uint8)).numpy())

    def _examples(self, name):
        """data: URIs of pictures of a class."""
        if self._train is None or name not in self._ids:
            return []
        end = self._ends[self._ids[name]]
        number = self._train.counts[self._ids[name]]
        chosen = self._order[end - number:end][:_EXAMPLES]
        return [uri for uri, _ in (self._small.uri(self._train, i) for i in chosen) if uri]


def load(config, folder):
    """The `Model` of a mode's config and of runs; see `demo_page`."""
    limit = config.data.max_pixels
    if config.predict.model:
        served = predictors.SavedModel(config.predict.model, config.predict.top_k)
        views, train, limit, notes = _of_export(served.path / 'assets', limit)
        return Model(str(config.predict.model), served.call, views, train, limit, notes)
    folders = run_config.folders(folder)
    runs = [workdir.read(path) for path in folders]
    networks.check_classes(runs)
    taus = adjust.taus(config, runs, strategy.of_this_machine('one', 0))
    loaded = [adjust.adjusted(networks.of_run(run, config.tta.scales), run, tau)
              for run, tau in zip(runs, taus, strict=True)]
    served = graph.Graph([graph.Member(network) for network in loaded], runs[0].class_names,
                         top_k=config.predict.top_k, max_pixels=limit)
    call = served.signatures()['serving_default']
    train, notes = _pictures(runs[0].config)
    views = list(dict.fromkeys(network.view for network in loaded))
    return Model(', '.join(map(str, folders)), lambda data: call(tf.constant(data)), views, train,
                 limit, notes)


def _of_export(assets, limit):
    """(views, `Examples` or None, most pixels, notes) of a SavedModel, from its files on itself."""
    try:
        told = json.loads((assets / 'export.json').read_text(encoding='utf-8'))
        views = [View(member['size'], tuple(member['scales']), aspect=member['aspect'],
                      antialias=member['antialias'], channels=member['data']['channels'])
                 for member in told['members']]
        limit = told['max_pixels']
    except (OSError, ValueError, KeyError, TypeError) as error:  # InputError is a ValueError
        return [], None, limit, ['No crops and example pictures: the model does not say how it '
                                 f'sees a picture ({type(error).__name__}).']
    name = workdir.CONFIG if len(views) == 1 else 'config_1.json'
    try:
        train, notes = _pictures(workdir.config_of(assets, name))
    except InputError as error:
        train, notes = None, [f'{_NO_EXAMPLES}{error}']
    return list(dict.fromkeys(views)), train, limit, notes


def _pictures(config):
    """(the training `Examples` of a run's config, []), or (None, why they are not there)."""
    try:
        return prepare.load(**config.data, seed=config.seed).train, []
    except InputError as error:
        return None, [f'{_NO_EXAMPLES}{error}']


def _uri(image, side):
    data, kind = thumbnails.encoded(image, side)
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
