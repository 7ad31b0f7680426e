"""The function that ONNX and LiteRT hold: from decoded images to class names."""

import tensorflow as tf

from bsce_tf.serving import graph
from bsce_tf.serving.formats import crops


class Answers(tf.Module):
    """`graph.Graph.predict_images` in ops that other formats have.

    Args:
      networks: list of `Network`.
      class_names: K names.
      top_k: classes per image, at most.

    Attributes:
      function: tf.function of `images`, uint8 `[n, height, width, 3]` with n ≥ 1, to a dict of the
        answers, which are named as in `graph.Graph`.
      outputs: their names.
    """

    def __init__(self, networks, class_names, top_k):
        super().__init__('answers')
        self._networks = networks
        self._names, self._top_k = class_names, min(top_k, len(class_names))
        self.weights = [v.value for network in networks
                        for v in (*network.body.weights, *network.head.weights)]
        images = tf.TensorSpec([None, None, None, 3], tf.uint8, name='images')
        self.function = tf.function(self._answer, input_signature=[images], autograph=False)
        self.outputs = ('class_names', 'class_ids', 'scores',
                        *(['votes'] if len(networks) > 1 else []))

    def _answer(self, images):
        probabilities = tf.stack([tf.nn.softmax(network.logits(network.features(
            crops.centre(images, network.view)))) for network in self._networks])
        # float64 is not in every format. float32 differs where means of classes with votes differ
        # by less than 1e-6.
        answer = graph.ranked(probabilities, tf.constant(list(self._names)), self._top_k,
                              tf.float32)
        return {name: tf.identity(answer[name], name=name) for name in self.outputs}
