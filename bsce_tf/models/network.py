"""The one way from the crops of an image to its features and logits.

Test time of the paper (section 4.1): resize to several scales, crop the centres, average the
*features* of the crops, classify once. Training's validation, every evaluation, prediction, audit
and report, and the exported graph use this.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bsce_tf.data.view import View


class Network(NamedTuple):
    """A classifier in two halves, with how it sees an image.

    Attributes:
      view: the `View`, whose centre crops it takes.
      body: Model, images `[n, C, C, channels]`, values 0 … 255 → features `[n, feature_dim]`.
      head: Model, features → float32 logits `[n, K]`.
      shift: float32 `[K]` that is taken off the logits; None: nothing.
    """

    view: View
    body: keras.Model
    head: keras.Model
    shift: np.ndarray | None = None

    def features(self, crops):
        """float32 `[n, scales, feature_dim]` of crops `[n, scales, C, C, channels]`, any scales."""
        shape = tf.shape(crops)
        flat = tf.reshape(crops, [-1, *self.view.shape[1:]])
        features = tf.cast(self.body(flat, training=False), tf.float32)
        return tf.reshape(features, [shape[0], shape[1], features.shape[-1]])

    def logits(self, features):
        """float32 `[n, K]` of features `[n, scales, feature_dim]`, averaged over the scales."""
        mean = tf.reduce_mean(features, axis=1)
        logits = self.head(tf.cast(mean, self.head.input.dtype), training=False)
        return logits if self.shift is None else logits - tf.constant(self.shift, logits.dtype)

    def outputs(self, crops):
        """(features, logits) of crops `[n, scales, C, C, channels]`.

        One scale at a time, so that no more images are in the network at once than in training.
        """
        features = tf.concat([self.features(crops[:, i:i + 1]) for i in range(crops.shape[1])],
                             axis=1)
        return features, self.logits(features)


def of(model, view, at='backbone'):
    """The `Network` of a classifier, with which it shares its variables.

    Args:
      model: as `classifier.build` makes it.
      view: a `View` of the size and channels of its images.
      at: what features are: of the 'backbone', pooled, or the 'embedding', if there is one.
    """
    names = [layer.name for layer in model.layers]
    last = 'embedding_bn' if at == 'embedding' and 'embedding_bn' in names else 'features'
    features = model.get_layer(last).output
    x = inputs = keras.Input(features.shape[1:], dtype=features.dtype, name='features')
    for layer in model.layers[names.index(last) + 1:]:
        x = layer(x)  # dropout among them does nothing here
    return Network(view, keras.Model(model.input, features, name='body'),
                   keras.Model(inputs, x, name='head'))
