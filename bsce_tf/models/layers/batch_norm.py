"""Batch normalisation whose training step is one operation forward and one backward."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable('bsce_tf')
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, by TensorFlow's fused operation where that gives the same.

    Keras composes it of a dozen operations (Ioffe and Szegedy 2015, algorithm 1, term by term); the
    fused one takes the images fewer times through memory. It is used in training, for
    `[batch, height, width, channels]` on one replica, with scale and centre. Everything else goes
    to Keras: statistics over several replicas, masks, renormalisation, and the use of moving
    statistics, which is fast as it is. Weights, their names and the statistics that are kept
    (biased variance) are Keras's.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalises; shape and type unchanged, float16 and bfloat16 with float32 statistics."""
        if not (training and self.trainable and mask is None and self._is_plain(inputs)):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(inputs, self.compute_dtype), scale=self.gamma, offset=self.beta, mean=[],
            variance=[], epsilon=self.epsilon, exponential_avg_factor=1.0, data_format='NHWC',
            is_training=True)[:3]
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        biased = variance * ((count - 1.0) / count)  # the operation divides by count − 1
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return outputs

    def _is_plain(self, inputs):
        return (len(inputs.shape) == 4 and self.axis in (-1, 3) and self.scale and self.center
                and not self.renorm and self.compute_dtype in ('float16', 'bfloat16', 'float32')
                and tf.distribute.get_strategy().num_replicas_in_sync == 1)
