"""Converts timm checkpoints to weights of Keras models; every key and every variable must match.

Our layers have the names of timm's modules. So a variable's key in the checkpoint is the name of
its layer and a suffix; the kind of variable determines the order of its axes.
"""

import dataclasses

import keras
import numpy as np
from absl import logging

from bsce_tf.errors import InputError
from bsce_tf.models.weights import torch_files

HEAD = 'head'  # name of our classifiers' head
OURS = (HEAD, 'embedding', 'embedding_bn')  # layers that are not converted by name
HEAD_MODULES = ('last_linear', 'fc', '_fc', 'classifier', 'head.fc', 'head')  # in checkpoints
_LISTED = 5  # names in a message before "and n more"

_SUFFIXES = {
    'kernel': 'weight',
    'bias': 'bias',
    'gamma': 'weight',
    'beta': 'bias',
    'moving_mean': 'running_mean',
    'moving_variance': 'running_var',
}
# PyTorch's axes in Keras's order.
_CONVOLUTION, _DEPTHWISE, _DENSE = (2, 3, 1, 0), (2, 3, 0, 1), (1, 0)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a conversion did.

    Attributes:
        variables: number of variables that were set.
        head: 'converted'; 'new' if the checkpoint's head does not fit the model's, which then
            keeps its initial values; 'absent' if the model has no head.
        message: one sentence about the head; '' if it was converted.
    """

    variables: int
    head: str
    message: str = ''


def load(model, path, *, modules=None):
    """Set a model's weights from a timm checkpoint.

    Args:
        model: a built Keras model, a backbone with or without a layer 'head'. Changed only if
            the whole checkpoint fits.
        path: `.safetensors` or `.pth` file; see `torch_files.read`.
        modules: {layer name: PyTorch module path} for layers with other names than timm's.

    Returns:
        `Report`.

    Raises:
        InputError: an unreadable file, a missing or unused key, a wrong shape.
    """
    arrays = convert(model, torch_files.read(path), str(path), modules=modules)
    return assign(model, arrays, str(path))


def convert(model, state, source, *, modules=None):
    """Rename and transpose a state dict for a model.

    Args:
        model: a built Keras model.
        state: {key: array} as `torch_files.read` gives it.
        source: the file's name, for messages.
        modules: as for `load`.

    Returns:
        {'layer/variable': array in Keras's layout} of the model's layers except 'head', and the
        checkpoint's own head, if it has one, as 'head/kernel' and 'head/bias'.

    Raises:
        InputError: missing or unused keys (except batch counts), or wrong shapes.
    """
    state = {key: value for key, value in state.items() if not _is_count(key)}
    head, state = _split_head(state)
    backbone = {name: v for name, v in variables_of(model).items() if not _is_head(name)}
    keys = {name: _key(name, modules or {}) for name in backbone}
    missing = [key for key in keys.values() if key not in state]
    unused = sorted(set(state) - set(keys.values()))
    if missing or unused:
        raise InputError(_mismatch(model, source, missing, unused, len(keys)))
    arrays = {}
    depthwise = set(_depthwise_layers(model))
    for name, variable in backbone.items():
        array, axes = state[keys[name]], _axes(name, variable, depthwise)
        expected = [variable.shape[i] for i in np.argsort(axes)]
        if list(array.shape) != expected:
            raise InputError(
                f'{source}: {keys[name]} has shape {list(array.shape)}, {model.name} expects '
                f'{expected}'
            )
        arrays[name] = array.transpose(axes)
    return arrays | head


def assign(model, arrays, source):
    """Set a model's variables from what `convert` returned, all of them or none.

    Args:
        model: a built Keras model; only its head may differ from the model of `convert`.
        arrays: {'layer/variable': array}.
        source: the file's name, for messages.

    Returns:
        `Report`.

    Raises:
        InputError: a missing or unused array, or a wrong shape, except of the head.
    """
    variables = variables_of(model)
    head, message = _compare_heads(variables, arrays, source)
    if head != 'converted':
        variables = {name: v for name, v in variables.items() if not _is_head(name)}
        arrays = {name: a for name, a in arrays.items() if not _is_head(name)}
    missing = [name for name in variables if name not in arrays]
    unused = [name for name in arrays if name not in variables]
    if missing or unused:
        raise InputError(_mismatch(model, source, missing, unused, len(variables)))
    for name, variable in variables.items():
        if arrays[name].shape != tuple(variable.shape):
            raise InputError(
                f'{source}: {name} has shape {list(arrays[name].shape)}, {model.name} expects '
                f'{list(variable.shape)}'
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    if message:
        logging.info(message)
    return Report(len(variables), head, message)


def variables_of(model):
    """{'layer/variable': variable} of all layers, including nested ones."""
    variables = {}
    for variable in model.weights:
        name = '/'.join(variable.path.split('/')[-2:])
        if name in variables:
            raise InputError(f'{model.name} has two variables {name}: give its layers other names')
        variables[name] = variable
    return variables


def _is_count(key):
    return key.endswith('num_batches_tracked')


def _is_head(name):
    return name.split('/')[0] in OURS


def _key(name, modules):
    layer, kind = name.split('/')
    if kind not in _SUFFIXES:
        raise InputError(f'{name}: timm has no variable of this kind')
    return f'{modules.get(layer, layer)}.{_SUFFIXES[kind]}'


def _depthwise_layers(layer):
    """Names of the depthwise convolutions in a model, whose kernels have another axis order."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        yield layer.name
    for inner in getattr(layer, 'layers', ()):
        yield from _depthwise_layers(inner)


def _axes(name, variable, depthwise):
    """PyTorch's axes in Keras's order."""
    rank = len(variable.shape)
    layer, kind = name.split('/')
    if kind != 'kernel' or rank not in (2, 4):
        return tuple(range(rank))
    if rank == 2:
        return _DENSE
    return _DEPTHWISE if layer in depthwise else _CONVOLUTION


def _split_head(state):
    """(the head's arrays in Keras's names and layout, the rest of the state dict)."""
    for module in HEAD_MODULES:
        weight, bias = state.get(f'{module}.weight'), state.get(f'{module}.bias')
        if weight is not None and bias is not None and weight.ndim == 2:
            rest = {k: v for k, v in state.items() if k.rpartition('.')[0] != module}
            return {f'{HEAD}/kernel': weight.T, f'{HEAD}/bias': bias}, rest
    return {}, state


def _compare_heads(variables, arrays, source):
    """(`Report.head`, `Report.message`)."""
    ours = {name: tuple(v.shape) for name, v in variables.items() if _is_head(name)}
    theirs = {name: a.shape for name, a in arrays.items() if _is_head(name)}
    if ours == theirs:
        return ('converted', '') if ours else ('absent', '')
    if not ours:
        return 'absent', f'{source}: its classifier is left out, the model has no layer {HEAD!r}'
    found = f'a classifier of {theirs[f"{HEAD}/bias"][0]} classes' if theirs else 'no classifier'
    wanted = ', '.join(f'{name.removeprefix("head/")} {list(shape)}'
                       for name, shape in ours.items())
    return 'new', f'{source}: has {found}; the layer {HEAD!r} ({wanted}) is left as made new'


def _mismatch(model, source, missing, unused, expected):
    parts = [
        f'{len(names)} {what} ({_listed(names)})'
        for names, what in ((missing, 'missing'), (unused, 'left over'))
        if names
    ]
    other = len(missing) > expected // 2
    hint = ': the checkpoint of another network?' if other else ''
    return f'{source}: {" and ".join(parts)} of the {expected} keys of {model.name}{hint}'


def _listed(names):
    shown = ', '.join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f'{shown} and {len(names) - _LISTED} more'
