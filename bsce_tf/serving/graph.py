"""The exported graph: from encoded images to class names.

It has only ops of TensorFlow itself, so a server needs no Python and no other library.
"""

import tensorflow as tf

from bsce_tf.data.images import decode
from bsce_tf.evaluation import ensemble

# Images of a request that are decoded in parallel; together they have no more pixels than
# `max_pixels`, or than `_MOST_PIXELS` without that limit.
_PARALLEL = 4
_MOST_PIXELS = 10**8


class Graph(tf.Module):
    """One or more models with preprocessing and postprocessing.

    Image bytes → decode once → crops at all scales of every member → averaged features → head →
    softmax → vote → top-k classes. Answers are dicts of:

      class_names: string `[n, k]`, UTF-8, best first; an ensemble ranks by `ensemble.ranking`.
      class_ids: int32 `[n, k]`.
      scores: float32 `[n, k]`, probabilities; of an ensemble the mean over its models.
      votes: int32 `[n, k]`, only of an ensemble: number of models whose top-1 class it is.

    Args:
      members: list of `Member`s.
      class_names: K names.
      top_k: classes per image, at most; k = min(top_k, K).
      max_pixels: larger images are bad and not decoded; 0 for no limit.
      bad_image: 'error': a request with a bad image fails with a message that names its index;
        'empty': only that image gets empty names, id −1, score 0, votes 0 and features 0.
      assets: paths of files to store in the SavedModel.
      neighbours: `neighbours.Neighbours`, for the signature of that name; None: none.
    """

    def __init__(self, members, class_names, *, top_k=5, max_pixels=0, bad_image='error',
                 assets=(), neighbours=None):
        super().__init__('bsce_tf')
        self.members = members
        self.names = tf.constant(list(class_names), tf.string)
        self.top_k = min(top_k, len(class_names))
        self.max_pixels = max_pixels
        self.bad_image = bad_image
        self.index = neighbours
        self.assets = [tf.saved_model.Asset(str(path)) for path in assets]

    def signatures(self):
        """{name of a signature: tf.function} for `tf.saved_model.save`."""
        encoded = tf.TensorSpec([None], tf.string, name='image_bytes')
        decoded = tf.TensorSpec([None, None, None, 3], tf.uint8, name='images')
        methods = [('serving_default', self.predict, encoded),
                   ('predict_images', self.predict_images, decoded),
                   ('features', self.features, encoded)]
        if self.index is not None:
            methods.append(('neighbours', self.neighbours, encoded))
        return {name: tf.function(method, input_signature=[spec], autograph=False)
                for name, method, spec in methods}

    def predict(self, image_bytes):
        """The answer to encoded images, string `[n]`; they may differ in size and format."""
        return self._answer(tf.size(image_bytes), *self._crops_of_bytes(image_bytes))

    def predict_images(self, images):
        """The answer to decoded images of one size, uint8 `[n, height, width, 3]`."""
        # Also by tf.data, though nothing is decoded: outside of it TensorFlow replaces divisions by
        # products, which rounds one pixel in a thousand differently.
        return self._answer(tf.shape(images)[0], *self._crops(
            images, lambda image: image, 'images', 'has no pixels', lambda image: False))

    def features(self, image_bytes):
        """Features of encoded images, averaged over the scales, float32 `[n, feature_dim]`.

        The key is 'features'; for an ensemble, 'features_1', 'features_2', …
        """
        crops, good = self._crops_of_bytes(image_bytes)
        found = [tf.where(good[:, None], tf.reduce_mean(member.features(x), axis=1), 0.0)
                 for member, x in zip(self.members, crops, strict=True)]
        found = [x[:tf.size(image_bytes)] for x in found]
        if len(found) == 1:
            return {'features': found[0]}
        return {f'features_{i + 1}': x for i, x in enumerate(found)}

    def neighbours(self, image_bytes):
        """The answer by the nearest images of the index, for encoded images, string `[n]`.

        class_names, class_ids and scores, `[n, top_k]`, by the vote of the k neighbours or joined
        with the classifier, see `bsce_tf.index.vote`; of the neighbours, nearest first,
        neighbour_ids (int64, rows of the index), neighbour_names (their classes) and similarities
        (cosines), `[n, k]`; in_catalogue, bool `[n]`, if images may be rejected. A bad image that
        does not fail the request has empty names, ids −1, zeros, and is not in the catalogue.
        """
        crops, good = self._crops_of_bytes(image_bytes)
        features = [member.features(x) for member, x in zip(self.members, crops, strict=True)]
        probabilities = tf.stack([tf.nn.softmax(member.logits(x))
                                  for member, x in zip(self.members, features, strict=True)])
        found = self.index.answer(features, probabilities)
        count, empty = tf.size(image_bytes), {tf.string: '', tf.bool: False, tf.float32: 0.0}
        return {name: tf.where(good if len(x.shape) == 1 else good[:, None], x, tf.cast(
            -1, x.dtype) if x.dtype.is_integer else empty[x.dtype])[:count]
            for name, x in found.items()}

    def _crops_of_bytes(self, image_bytes):
        limit = f', or has more than {self.max_pixels} pixels' if self.max_pixels else ''
        return self._crops(
            image_bytes, lambda data: decode.decode(data, self.max_pixels), 'image_bytes',
            f'is not a JPEG, PNG, WebP, GIF or BMP image, is damaged{limit}', self._is_large)

    def _is_large(self, data):
        """Whether an encoded image must be decoded alone; also True if its header is damaged."""
        pixels = tf.reduce_prod(tf.cast(decode.header(data)[2], tf.float64))
        return pixels * _PARALLEL > (self.max_pixels or _MOST_PIXELS)

    def _crops(self, data, to_image, name, fault, is_large):
        """Crops of all images, or an error that says `name[index] fault`.

        Only tf.data can catch an error in a graph: it skips elements that fail. Each element has an
        index, which shows which ones are missing. Their crops are black.

        Args:
          data: tensor `[n, …]`.
          to_image: function of an element that gives uint8 `[height, width, 3]`.
          name: of the input.
          fault: what is wrong with an element that fails.
          is_large: function of an element: whether `to_image` must process it alone.

        Returns:
          uint8 `[max(n, 1), scales, C, C, channels]` of each member; bool `[max(n, 1)]`, whether an
          image is good. An empty request gets a black image, as oneDNN needs at least one.
        """
        places = tf.range(tf.shape(data)[0])

        def one(place, element):
            image = to_image(element)
            return place, *(member.view.centre(image) for member in self.members)

        # One more at the end: crops for bad images, and a batch even if all are bad.
        black = tf.data.Dataset.from_tensors(
            (tf.constant(-1), *(tf.zeros(member.view.shape, tf.uint8) for member in self.members)))
        elements = tf.data.Dataset.from_tensor_slices((places, data))

        def made(large, parallel):
            chosen = elements.filter(lambda _, element: tf.equal(is_large(element), large))
            return chosen.ignore_errors().map(one, parallel, deterministic=True).ignore_errors()

        tried = made(False, _PARALLEL).concatenate(made(True, 1))
        batch = tried.concatenate(black).batch(tf.cast(tf.size(places), tf.int64) + 1)
        found, *crops = batch.get_single_element()
        last = tf.size(found) - 1
        rows = tf.tensor_scatter_nd_update(tf.fill(tf.shape(places), last), found[:-1, None],
                                           tf.range(last))
        good = rows < last
        checks = self._refuse(good, name, fault)
        rows = tf.cond(tf.size(rows) > 0, lambda: rows, lambda: last[None])
        good = rows < last
        with tf.control_dependencies(checks):
            return [tf.gather(x, rows) for x in crops], tf.identity(good)

    def _refuse(self, good, name, fault):
        if self.bad_image == 'empty':
            return []
        first = tf.reduce_min(tf.where(good, tf.size(good), tf.range(tf.size(good))))
        return [tf.debugging.Assert(tf.reduce_all(good), [tf.strings.join(
            [f'{name}[', tf.strings.as_string(first), f'] {fault}'])])]

    def _answer(self, count, crops, good):
        probabilities = tf.stack([tf.nn.softmax(member.logits(member.features(x)))
                                  for member, x in zip(self.members, crops, strict=True)])
        empty = {'class_names': '', 'class_ids': -1, 'scores': 0.0, 'votes': 0}
        return {name: tf.where(good[:, None], x, empty[name])[:count]
                for name, x in ranked(probabilities, self.names, self.top_k).items()}


def ranked(probabilities, names, top_k, dtype=tf.float64):
    """The answer to images, see `Graph`, from float32 probabilities `[models, n, K]`.

    Args:
      probabilities: of each model.
      names: string `[K]`.
      top_k: classes per image, at most K.
      dtype: of `ensemble.ranking`.
    """
    scores = tf.reduce_mean(probabilities, axis=0)
    several = probabilities.shape[0] > 1
    rank = ensemble.ranking(probabilities, dtype) if several else scores
    ids = tf.math.top_k(rank, top_k)[1]
    answer = {'class_names': tf.gather(names, ids), 'class_ids': ids,
              'scores': tf.gather(scores, ids, batch_dims=1)}
    if several:
        answer['votes'] = tf.gather(ensemble.votes(probabilities), ids, batch_dims=1)
    return answer


class Member(tf.Module):
    """One network within the graph.

    Args:
      network: `Network`.
      features, logits: functions to use instead of the network's own, such as frozen ones.
    """

    def __init__(self, network, features=None, logits=None):
        super().__init__()
        self.view = network.view
        self.features, self.logits = features or network.features, logits or network.logits
        if features is None:
            # Not the models themselves, as these would be saved in addition to the graph.
            self.weights = [v.value for v in (*network.body.weights, *network.head.weights)]
