"""Top-k classes of images by an index, through the interface of `predictors`."""

import numpy as np

from bsce_tf.evaluation import forward, predictors
from bsce_tf.evaluation.neighbours import answers
from bsce_tf.evaluation.neighbours.vectors import Embedder

IN_CATALOGUE = 'in_catalogue'
NEAREST = ('similarity', 'nearest_class', 'nearest_path', 'nearest_id')


class Neighbours:
    """Predicts by the nearest images of an index, alone or together with the classifier.

    Args:
      config: ConfigDict; predict, neighbours, index.probes and tta.scales are used.
      folder: of the index.
      runs: list of `workdir.Run`.
      devices: tf.distribute.Strategy.
      taus: τ of each run, see `adjust`.

    Attributes:
      top_k, voting, fingerprints: as those of `predictors.Runs`.
      columns: names of what each answer has besides: `in_catalogue`, yes or no, where images may be
        rejected; cosine, class, path and row id of the nearest image.

    Raises:
      InputError: if there is no such index, it is of other runs, or it has fewer than k images.
    """

    voting = False

    def __init__(self, config, folder, runs, devices, taus):
        self._by, self._embedder = config.predict.by, Embedder(runs, config.tta.scales, devices,
                                                               taus)
        index = answers.open_index(config, folder, self._embedder)
        self._answerer = answers.Answerer(index, self._embedder.class_names, config.neighbours)
        self._limit = answers.limit(config.neighbours.reject, index)
        self.columns = NEAREST if self._limit is None else (IN_CATALOGUE, *NEAREST)
        self._names = np.array(self._answerer.class_names, object)
        self.top_k = min(config.predict.top_k, len(self._names))
        told = [self._by, index.probes, self._limit, *(config.neighbours[name] for name in (
            'k', 'temperature', 'mix'))]
        self.fingerprints = [*self._embedder.fingerprints, f'{taus}', index.fingerprint, f'{told}']

    def answers(self, examples, batch_size, bad, start=0):
        """Yields `predictors.Answers` for every image from `start` on, in order.

        Of a rejected image the class names are empty.
        """
        for found in forward.over(examples, self._embedder.views, self._embedder.compute,
                                  self._embedder.devices, batch_size, bad, start):
            yield self._answer(found)

    def _answer(self, arrays):
        found = self._answerer.search(arrays['vectors'])
        scores = self._answerer.scores(found, arrays['probabilities'], self._by)
        ids = np.argsort(-scores, axis=1, kind='stable')[:, :self.top_k]
        rows, nearest = self._answerer.index.rows, found.places[:, 0]
        more = [
            [f'{cosine:.6f}' for cosine in found.cosines[:, 0]],
            [self._names[k] if k >= 0 else '' for k in found.classes[:, 0]],
            [rows.paths[place].decode('utf-8', 'surrogateescape') if place >= 0 else ''
             for place in nearest.tolist()],
            [str(rows.ids[place]) if place >= 0 else '' for place in nearest.tolist()]]
        classes = self._names[ids]
        if self._limit is not None:
            accepted = found.cosines[:, 0] >= self._limit
            classes = np.where(accepted[:, None], classes, '')
            more.insert(0, ['yes' if good else 'no' for good in accepted])
        return predictors.Answers(arrays['good'], classes, np.take_along_axis(scores, ids, 1), None,
                                  list(zip(*more, strict=True)))
