"""An index within the exported graph: one matrix product, top-k and the vote, in TensorFlow's ops.

The search is exact: every vector is compared. Vectors are stored in float32; in float16, which
rounds a cosine by about 0.0005; or in int8, each vector with its own scale, max|v| / 127, by about
0.005. Products are in float32.
"""

import numpy as np
import tensorflow as tf

from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation.neighbours import answers, vectors
from bsce_tf.index import stored

LARGEST = 4_000_000  # images; above, a vector database beside the server is the better place
TOLERANCE = {'float32': 1e-4, 'float16': 2e-3, 'int8': 2e-2}  # of cosines
_BLOCK = 2**16  # vectors that are made float32 at a time
_EVERY = 2**31 - 1  # cells to search, so that a search is exact


class Neighbours(tf.Module):
    """Answers from the vectors of images.

    Args:
      answerer: `answers.Answerer`.
      fields: `config.neighbours`.
      by: 'neighbours' or 'both'.
      kind: a key of `TOLERANCE`.
      limit: cosine below which an image is rejected; None: never.
      top_k: classes per image, at most.

    Attributes:
      class_names: of the answers' class ids: the runs' classes, then those of the index alone.
    """

    def __init__(self, answerer, fields, by, kind, limit, top_k):
        super().__init__('neighbours')
        self.answerer, self.fields, self.by, self.kind = answerer, fields, by, kind
        self.limit, self.class_names = limit, answerer.class_names
        self.top_k = min(top_k, len(self.class_names))
        matrix, scale = _quantised(answerer.index, kind)
        self._matrix = tf.Variable(matrix, trainable=False)
        self._scale = None if scale is None else tf.Variable(scale, trainable=False)
        self._classes = tf.Variable(answerer.classes, trainable=False)
        self._ids = tf.Variable(answerer.index.rows.ids, trainable=False)
        self._names = tf.constant(list(self.class_names), tf.string)

    def answer(self, features, probabilities):
        """The answers to n images, of which `graph.Graph.neighbours` tells.

        Args:
          features: of each member, `[n, scales, d]`.
          probabilities: of each member, `[members, n, K]`.
        """
        cosines, places = self.search(vectors.joined(features))
        labels = tf.gather(self._classes, places)
        scores = self._scores(cosines, labels, tf.reduce_mean(probabilities, axis=0))
        ids = tf.cast(tf.math.top_k(scores, self.top_k).indices, tf.int32)
        found = {'class_names': tf.gather(self._names, ids), 'class_ids': ids,
                 'scores': tf.gather(scores, ids, batch_dims=1), 'similarities': cosines,
                 'neighbour_ids': tf.gather(self._ids, places),
                 'neighbour_names': tf.gather(self._names, labels)}
        if self.limit is not None:
            found['in_catalogue'] = cosines[:, 0] >= self.limit
        return found

    def search(self, queries):
        """(cosines float32 `[n, k]`, places int32 `[n, k]`), nearest first.

        Args:
          queries: float32 `[n, d]` of length 1.
        """
        count, k = self._matrix.shape[0], self.fields.k
        size = count if self.kind == 'float32' else _BLOCK
        best = []
        for begin in range(0, count, size):
            end = min(begin + size, count)
            block = tf.cast(self._matrix[begin:end], tf.float32)
            cosines = tf.matmul(queries, block, transpose_b=True)
            if self._scale is not None:
                cosines *= self._scale[begin:end]
            values, places = tf.math.top_k(cosines, min(k, end - begin))
            best.append((values, places + begin))
        values, places = (tf.concat(parts, axis=1) for parts in zip(*best, strict=True))
        values, order = tf.math.top_k(values, k)
        return values, tf.gather(places, order, batch_dims=1)

    def _scores(self, cosines, labels, probabilities):
        """P of `bsce_tf.index.vote`, float32 `[n, C]`."""
        shape = tf.shape(labels)
        rows = tf.repeat(tf.range(shape[0])[:, None], shape[1], axis=1)
        shares = tf.nn.softmax(cosines / self.fields.temperature, axis=1)
        size = len(self.class_names)
        votes = tf.scatter_nd(tf.stack([rows, tf.cast(labels, tf.int32)], -1), shares,
                              tf.stack([shape[0], size]))
        if self.by == 'neighbours':
            return votes
        known = tf.pad(probabilities, [[0, 0], [0, size - probabilities.shape[-1]]])
        return self.fields.mix * votes + (1 - self.fields.mix) * known


def load(config, folder, runs, networks):
    """The `Neighbours` of `export.by`; None for 'classifier'.

    Args:
      config: ConfigDict; export, neighbours are used.
      folder: of the index.
      runs: list of `workdir.Run`.
      networks: their `Network`s.

    Raises:
      InputError: if the index is missing, of other runs, too small or too large.
    """
    fields = config.export
    if fields.by == 'classifier':
        return None
    index = stored.read(folder, vectors.accepted(runs, networks), runs[0].class_names, _EVERY)
    if len(index) > LARGEST:
        raise InputError(f'export.by: {folder} has {len(index):,} images; expected at most '
                         f'{LARGEST:,} in a SavedModel. For more, the page "New products without '
                         'training" says how to use a vector database.')
    answerer = answers.Answerer(index, runs[0].class_names, config.neighbours)
    return Neighbours(answerer, config.neighbours, fields.by, fields.index_type,
                      answers.limit(config.neighbours.reject, index), fields.top_k)


def compare(signature, neighbours, images, features, probabilities):
    """Compares answers of a SavedModel with those of faiss and NumPy.

    Args:
      signature: 'neighbours' of a loaded SavedModel.
      neighbours: the `Neighbours` that it was made from.
      images: list of bytes, n encoded images.
      features: of each network, averaged over scales, float32 `[n, d]`.
      probabilities: `[networks, n, K]`.

    Returns:
      The largest difference of a cosine.

    Raises:
      RunError: if a cosine or score differs by more than it may, or another image is nearer than
        those that are given.
    """
    found = {name: value.numpy() for name, value in signature(
        image_bytes=tf.constant(images)).items()}
    tolerance, index = TOLERANCE[neighbours.kind], neighbours.answerer.index
    queries = vectors.joined([part[:, None] for part in features]).numpy()
    exact, _ = index.search(queries, neighbours.fields.k)
    places = index.rows.places(found['neighbour_ids'])
    held = _held(index, places)
    own = np.einsum('nd,nkd->nk', queries, held)
    for what, values, others in (
            ('similarities', found['similarities'], own),
            ('order of the neighbours', np.maximum(exact - own, 0), np.zeros_like(own))):
        _close(what, values, others, tolerance if what == 'similarities' else 2 * tolerance)
    classes = neighbours.answerer.classes[places]
    scores = neighbours.answerer.scores(
        answers.Found(found['similarities'], places, classes),
        np.mean(probabilities, axis=0), neighbours.by)
    _close('scores', found['scores'], np.take_along_axis(scores, found['class_ids'], 1), 1e-4)
    best = -np.sort(-scores, axis=1)[:, :found['scores'].shape[1]]
    _close('order of the classes', found['scores'], best, 1e-4)
    for ids, told in ((found['class_ids'], 'class_names'), (classes, 'neighbour_names')):
        names = [[neighbours.class_names[k].encode() for k in row] for row in ids.tolist()]
        if names != found[told].tolist():
            raise RunError(f'export: neighbours: found {told} {found[told].tolist()}; expected '
                           f'{names}. Nothing was exported.')
    return float(np.abs(found['similarities'] - own).max())


def _close(what, found, own, tolerance):
    difference = np.abs(np.asarray(found, np.float64) - own)
    if not np.all(difference <= tolerance):
        raise RunError(f'export: neighbours: {what}: found a difference of {difference.max():.2e}; '
                       f'expected at most {tolerance:g}. Nothing was exported.')


def _held(index, places):
    """float32 `[*places.shape, d]`: the vectors at places of an index."""
    wanted, back = np.unique(places, return_inverse=True)
    found, begin = np.empty((len(wanted), index.width), np.float32), 0
    for block in index.blocks():
        here = (wanted >= begin) & (wanted < begin + len(block))
        found[here] = block[wanted[here] - begin]
        begin += len(block)
    return found[back].reshape(*places.shape, -1)


def _quantised(index, kind):
    """(`[N, d]` in a kind of numbers, float32 `[N]` scales or None)."""
    matrix = np.empty((len(index), index.width), kind)
    scale, begin = (np.ones(len(index), np.float32) if kind == 'int8' else None), 0
    for block in index.blocks():
        end = begin + len(block)
        if scale is not None:
            scale[begin:end] = np.maximum(np.abs(block).max(axis=1), 1e-12) / 127
            block = np.round(block / scale[begin:end, None])
        matrix[begin:end] = block
        begin = end
    return matrix, scale
