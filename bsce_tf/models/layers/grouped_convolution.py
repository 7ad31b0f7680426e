"""Grouped convolution that can be trained on a CPU.

A grouped convolution (Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional
Neural Networks", section 3.5; cardinality in Xie et al. 2017, "Aggregated Residual
Transformations for Deep Neural Networks") cuts the channels into groups and convolves each by
itself. TensorFlow computes it forward in every type and on every device, but backward on a CPU
only where oneDNN takes the operation over, which depends on the processor, the type and
TF_ENABLE_ONEDNN_OPTS. `keras.layers.Conv2D(groups=...)` avoids that through XLA, whose CPU code
takes seconds a layer backward. The layer here goes forward by TensorFlow's own operation and
backward by whichever of two equal ways works here: that operation's gradient, or a gradient
group by group.
"""

import functools

import keras
import tensorflow as tf

from bsce_tf import internals


@keras.saving.register_keras_serializable(package='bsce_tf')
class GroupedConv2D(keras.layers.Conv2D):
    """2D convolution over groups of channels, [batch, h, w, cin] -> [batch, h', w', filters].

    The kernel is one variable, [kh, kw, cin / groups, filters], as in `keras.layers.Conv2D`, so
    weights move between the two. Output channels are group-major: the first filters / groups of
    them see the first cin / groups input channels.

    Args:
        filters: output channels, a multiple of `groups`.
        kernel_size: int or pair.
        strides: int or pair.
        padding: 'valid' or 'same' (TensorFlow's 'same').
        groups: >= 1; must divide the input channels and `filters`.
        use_bias: whether to add one bias a filter.
        **kwargs: the rest of `keras.layers.Conv2D`'s arguments, without dilation and with
            channels last.

    Raises:
        ValueError: filters or channels that groups do not divide (when made or built); a
            dilation; channels first.
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding='valid', groups=1, use_bias=False, **kwargs
    ):
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            groups=groups,
            use_bias=use_bias,
            **kwargs,
        )
        if self.padding not in ('valid', 'same'):
            raise ValueError(f'Expected padding valid or same. Received: {padding!r}')
        if self.data_format != 'channels_last':
            raise ValueError(f'Expected channels_last. Received: data_format={self.data_format}')
        if set(self.dilation_rate) != {1}:
            raise ValueError(f'Expected no dilation. Received: dilation_rate={self.dilation_rate}')

    def convolution_op(self, inputs, kernel):
        """Convolve [batch, h, w, cin] with [kh, kw, cin / groups, filters]."""
        if self.groups == 1 or _has_accelerator():
            return super().convolution_op(inputs, kernel)
        outputs = grouped_conv2d(inputs, kernel, self.groups, self.strides, self.padding)
        if self.use_bias:
            # TensorFlow's graph optimiser puts a bias into the convolution before it, where groups
            # are not known without oneDNN; this leaves every value as it is and parts the two.
            outputs = tf.maximum(outputs, outputs.dtype.min)
        return outputs


def grouped_conv2d(inputs, kernel, groups, strides=(1, 1), padding='valid'):
    """Convolve group by group, for a CPU.

    Args:
        inputs: [batch, h, w, cin], any floating type.
        kernel: [kh, kw, cin / groups, filters], the type of `inputs`.
        groups: divides cin and filters.
        strides: pair.
        padding: 'valid' or 'same'.

    Returns:
        [batch, h', w', filters], the type of `inputs`.
    """
    strides = (1, *strides, 1)
    padding = padding.upper()

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            whole = grouped_gradient_works(inputs.dtype) and not internals.compiled_by_xla()
            return _gradients(inputs, kernel, upstream, 1 if whole else groups, strides, padding)

        return tf.nn.conv2d(inputs, kernel, strides, padding), gradient

    # custom_gradient takes tensors: a variable would have to be an argument of the gradient too.
    inputs = tf.convert_to_tensor(inputs)
    kernel = tf.convert_to_tensor(keras.ops.convert_to_tensor(kernel, inputs.dtype.name))
    return convolve(inputs, kernel)


def _gradients(inputs, kernel, upstream, parts, strides, padding):
    """Gradients for inputs and kernel, the channels cut into `parts` equal parts."""
    for_inputs, for_kernel = [], []
    for x, k, dy in zip(
        tf.split(inputs, parts, axis=-1),
        tf.split(kernel, parts, axis=-1),
        tf.split(upstream, parts, axis=-1),
        strict=True,
    ):
        options = {'out_backprop': dy, 'strides': strides, 'padding': padding}
        for_inputs.append(
            tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=k, **options)
        )
        for_kernel.append(
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=tf.shape(k), **options)
        )
    return tf.concat(for_inputs, axis=-1), tf.concat(for_kernel, axis=-1)


@functools.cache
def grouped_gradient_works(dtype):
    """Whether this process's CPU kernels have the gradient of a grouped convolution in `dtype`.

    Tried once a type on a tiny example, eagerly and in a graph: the two are rewritten for oneDNN
    by different passes, and neither can be asked what it will do.
    """

    def attempt():
        inputs = tf.ones((2, 6, 6, 4), dtype)
        kernel = tf.ones((3, 3, 2, 4), dtype)
        upstream = tf.ones((2, 4, 4, 4), dtype)
        return _gradients(inputs, kernel, upstream, 1, (1, 1, 1, 1), 'VALID')

    with tf.init_scope(), tf.device('CPU:0'):
        try:
            for run in (attempt, tf.function(attempt)):
                for gradient in run():
                    gradient.numpy()
        except tf.errors.OpError:
            return False
    return True


def _has_accelerator():
    return any(device.device_type != 'CPU' for device in tf.config.list_logical_devices())
