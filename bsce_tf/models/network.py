"""Inference: from the crops of an image to its features and logits.

As in the paper (section 4.1): resize to several scales, take the centre crops, average the
*features* of the crops, classify once. Validation, evaluation, prediction, audit, report and the
exported graph all use this.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bsce_tf.data.view import View


class Network(NamedTuple):
    """A classifier in two halves, and the view that makes its crops.

    Attributes:
      view: the `View` whose centre crops it takes.
      body: Model, images `[n, C, C, channels]`, values 0 … 255 → features `[n, feature_dim]`.
      head: Model, features → float32 logits `[n, K]`.
      shift: float32 `[K]` to subtract from the logits, or None.
    """

    view: View
    body: keras.Model
    head: keras.Model
    shift: np.ndarray | None = None

    def features(self, crops):
        """Features, float32 `[n, scales, feature_dim]`, of crops `[n, scales, C, C, channels]`."""
        shape = tf.shape(crops)
        flat = tf.reshape(crops, [-1, *self.view.shape[1:]])
        features = tf.cast(self.body(flat, training=False), tf.float32)
        return tf.reshape(features, [shape[0], shape[1], features.shape[-1]])

    def logits(self, features):
        """Logits, float32 `[n, K]`, of the mean over scales of `[n, scales, feature_dim]`."""
        mean = tf.reduce_mean(features, axis=1)
        logits = self.head(tf.cast(mean, self.head.input.dtype), training=False)
        return logits if self.shift is None else logits - tf.constant(self.shift, logits.dtype)

    def outputs(self, crops):
        """(features, logits) of crops `[n, scales, C, C, channels]`.

        It computes one scale at a time, so that it needs no more memory than a training batch.
        """
        features = tf.concat([self.features(crops[:, i:i + 1]) for i in range(crops.shape[1])],
                             axis=1)
        return features, self.logits(features)


def of(model, view, at='backbone'):
    """The `Network` of a classifier; the two share their variables.

    Args:
      model: as `classifier.build` makes it.
      view: a `View` with the size and channels of its images.
      at: which features: 'backbone', the pooled ones, or 'embedding', if the model has one.
    """
    names = [layer.name for layer in model.layers]
    last = 'embedding_bn' if at == 'embedding' and 'embedding_bn' in names else 'features'
    features = model.get_layer(last).output
    x = inputs = keras.Input(features.shape[1:], dtype=features.dtype, name='features')
    for layer in model.layers[names.index(last) + 1:]:
        x = layer(x)  # dropout among them does nothing here
    return Network(view, keras.Model(model.input, features, name='body'),
                   keras.Model(inputs, x, name='head'))
