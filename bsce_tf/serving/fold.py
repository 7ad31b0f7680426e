"""Folds BatchNorm into the layer before it: the same function with fewer passes over memory.

At inference BatchNorm is y = (x − mean) · s + offset with s = scale / √(variance + ε) per channel.
With x = W·v + b of a convolution or dense layer, y = (W·s)·v + (b − mean) · s + offset is such a
layer too (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2).
"""

import keras
import numpy as np
from keras import layers

from bsce_tf import internals

_COPIED = ('keras', 'bsce_tf')  # packages whose layers can be copied by their configs
# Layers whose output channels are the last axis of their last kernel.
_LINEAR = (layers.Conv2D, layers.SeparableConv2D, layers.Dense)


def fold_batch_norms(model):
    """A copy of a functional model whose BatchNorms are folded where that is exact.

    It is exact if BatchNorm over the last axis is the only reader of the output of a convolution
    (also depthwise, separable or grouped) or dense layer without activation. Nested models are
    folded too. Layers of other packages, such as KerasHub's blocks, are not copied but shared, as
    their configs may be incomplete; all other layers of the copy have weights of their own. `model`
    is not changed.

    Args:
      model: functional `keras.Model`.

    Returns:
      (the copy, how many BatchNorms were folded).
    """
    norm_of, gone, copies = {}, set(), []
    for part in _models(model):
        for linear, norm in _pairs(part):
            norm_of[id(linear)] = norm
            gone.add(id(norm))

    def copy(layer):
        if id(layer) in gone:
            return layers.Identity(name=layer.name)
        if type(layer).__module__.partition('.')[0] not in _COPIED:
            return layer
        config = layer.get_config()
        if id(layer) in norm_of:
            config['use_bias'] = True
        copies.append((layer, type(layer).from_config(config)))
        return copies[-1][1]

    result = keras.models.clone_model(model, clone_function=copy, call_function=_call,
                                      recursive=True)
    for layer, made in copies:
        norm = norm_of.get(id(layer))
        made.set_weights(_folded_weights(layer, norm) if norm else layer.get_weights())
    return result, len(gone)


def _call(layer, *args, **kwargs):
    if isinstance(layer, layers.Identity):  # in place of a BatchNorm, which also takes a mask
        return layer(*args)
    return layer(*args, **kwargs)


def _models(model):
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _models(layer)


def _pairs(model):
    """Yields (linear layer, BatchNorm) to fold of one model, without its nested models."""
    readers, makers = {}, {}
    for layer in model.layers:
        for node in internals.calls_of(layer):
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor), []).append(layer)
            for tensor in node.outputs:
                makers[id(tensor)] = layer
    for tensor in model.outputs:
        readers.setdefault(id(tensor), []).append(None)
    for norm in model.layers:
        if not isinstance(norm, layers.BatchNormalization) or len(internals.calls_of(norm)) != 1:
            continue
        (tensor,) = internals.calls_of(norm)[0].input_tensors
        linear = makers.get(id(tensor))
        if (_is_linear(linear) and len(readers[id(tensor)]) == 1
                and norm.axis in (-1, len(tensor.shape) - 1)):
            yield linear, norm


def _is_linear(layer):
    if not isinstance(layer, (*_LINEAR, layers.DepthwiseConv2D)):
        return False
    if type(layer).call not in _PLAIN or len(internals.calls_of(layer)) != 1:
        return False
    last = getattr(layer, 'data_format', 'channels_last') == 'channels_last'
    return last and layer.activation is keras.activations.linear


# A subclass with a `call` of its own, such as `heads.TauHead`, may use its kernel differently.
_PLAIN = {kind.call for kind in (*_LINEAR, layers.DepthwiseConv2D)}


def _folded_weights(layer, norm):
    """Weights of `layer` with `norm` folded in; computed in float64."""
    *kernels, kernel = (w.astype(np.float64) for w in _kernels(layer))
    mean = np.float64(norm.moving_mean)
    scale = 1 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale *= np.float64(norm.gamma)
    bias = np.float64(layer.bias) if layer.use_bias else 0.0
    bias = (bias - mean) * scale
    if norm.center:
        bias += np.float64(norm.beta)
    if isinstance(layer, layers.DepthwiseConv2D):  # channels · multiplier, the last two axes
        kernel = kernel * scale.reshape(kernel.shape[2:])
    else:
        kernel = kernel * scale
    return [w.astype(np.float32) for w in (*kernels, kernel, bias)]


def _kernels(layer):
    weights = layer.get_weights()
    return weights[:-1] if layer.use_bias else weights
