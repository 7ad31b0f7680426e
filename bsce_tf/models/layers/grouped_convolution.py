"""Grouped convolution that can be trained on a CPU.

A grouped convolution (Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional
Neural Networks", section 3.5; "cardinality" in Xie et al. 2017, "Aggregated Residual
Transformations for Deep Neural Networks") divides the channels into groups and convolves each
group separately. TensorFlow has the forward pass for every dtype and device. On a CPU, it has the
gradient only if oneDNN takes over, which depends on processor, dtype and TF_ENABLE_ONEDNN_OPTS.
`keras.layers.Conv2D(groups=...)` uses XLA instead, whose gradient takes seconds per layer on a CPU.
This layer uses TensorFlow's forward operation, and its gradient where that works; otherwise it
computes the gradient group by group.
"""

import functools

import keras
import tensorflow as tf

from bsce_tf import internals


@keras.saving.register_keras_serializable(package='bsce_tf')
class GroupedConv2D(keras.layers.Conv2D):
    """2D convolution over groups of channels, [batch, h, w, cin] -> [batch, h', w', filters].

    The kernel is one variable, [kh, kw, cin / groups, filters], as in `keras.layers.Conv2D`, so
    the two can exchange weights. The first filters / groups output channels see the first
    cin / groups input channels, and so on.

    Args:
        filters: output channels, a multiple of `groups`.
        kernel_size: int or pair.
        strides: int or pair.
        padding: 'valid' or 'same' (TensorFlow's 'same').
        groups: >= 1; must divide the input channels and `filters`.
        use_bias: whether to add a bias per filter.
        **kwargs: other arguments of `keras.layers.Conv2D`; dilation and channels first are not
            supported.

    Raises:
        ValueError: groups do not divide filters or channels (when made or built); a dilation;
            channels first.
    """

    def __init__(self, filters, kernel_size, strides=1, padding='valid', groups=1, use_bias=False,
                 **kwargs):
        super().__init__(filters, kernel_size, strides=strides, padding=padding, groups=groups,
                         use_bias=use_bias, **kwargs)
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
            # TensorFlow's graph optimiser would fuse the bias into the convolution, which without
            # oneDNN does not support groups. This operation changes no value and prevents that.
            outputs = tf.maximum(outputs, outputs.dtype.min)
        return outputs


def grouped_conv2d(inputs, kernel, groups, strides=(1, 1), padding='valid'):
    """Grouped convolution for a CPU, with a gradient.

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

    # With a variable, custom_gradient would require that the gradient takes it as an argument.
    inputs = tf.convert_to_tensor(inputs)
    kernel = tf.convert_to_tensor(keras.ops.convert_to_tensor(kernel, inputs.dtype.name))
    return convolve(inputs, kernel)


def _gradients(inputs, kernel, upstream, parts, strides, padding):
    """Gradients of inputs and kernel, computed in `parts` equal parts of the channels."""
    for_inputs, for_kernel = [], []
    pieces = (tf.split(tensor, parts, axis=-1) for tensor in (inputs, kernel, upstream))
    for x, k, dy in zip(*pieces, strict=True):
        options = {'out_backprop': dy, 'strides': strides, 'padding': padding}
        for_inputs.append(
            tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=k, **options))
        for_kernel.append(
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=tf.shape(k), **options))
    return tf.concat(for_inputs, axis=-1), tf.concat(for_kernel, axis=-1)


@functools.cache
def grouped_gradient_works(dtype):
    """Whether TensorFlow's gradient of a grouped convolution in `dtype` works on this CPU.

    Tries a tiny example once per dtype, both eagerly and in a graph: different passes rewrite the
    two for oneDNN, and there is no function to ask.
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
