"""ONNX: for onnxruntime, Triton and KServe."""

import collections

import numpy as np

from bsce_tf import internals
from bsce_tf.errors import InputError

FILE = 'model.onnx'
TITLE = 'ONNX'
_OPSET = 18
_SMALL = 1024  # weights with fewer numbers stay in float32
# Marks of functions that TensorFlow compiles as a whole; no other program can.
_COMPILED = ('_XlaMustCompile', '_noinline')


def require():
    """Raises InputError if what this format needs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError("export.format: onnx needs packages: pip install 'bsce-tf[onnx]' "
                         f'({error}).') from error


def write(answers, path, weights):
    """Writes an `answers.Answers` to a file.

    Args:
      answers: the function.
      path: of the file.
      weights: 'float32'; 'float16' or 'int8', in which weights are stored. They are made float32
        again before they are used.

    Raises:
      InputError: if ONNX lacks an op of the network.
    """
    import onnx
    import tf2onnx

    frozen = internals.with_constants(answers.function.get_concrete_function())
    model, _ = tf2onnx.convert.from_graph_def(
        _inlined(frozen.graph.as_graph_def()), input_names=['images:0'],
        output_names=[f'{name}:0' for name in answers.outputs], opset=_OPSET)
    _require_ops(model)
    _rename(model.graph, {f'{name}:0': name for name in ('images', *answers.outputs)})
    if weights != 'float32':
        _narrow(model.graph, weights)
    onnx.save_model(model, str(path))


def load(path, threads=0):
    """Function of uint8 `[n, height, width, 3]` to the dict of answers, as NumPy arrays.

    Args:
      path: of the file.
      threads: to compute with; 0: as many as onnxruntime likes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # int8 weights are made float32 once, when the file is loaded, and not at every call.
    options.add_session_config_entry('session.disable_quant_qdq', '1')
    session = onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]

    def answer(images):
        found = dict(zip(names, session.run(names, {'images': images}), strict=True))
        found['class_names'] = np.vectorize(lambda name: name.encode(), otypes=[object])(
            found['class_names'])
        return found

    return answer


def _inlined(graph):
    """A GraphDef whose functions may all be put in place of their calls."""
    for node in (*graph.node, *(node for f in graph.library.function for node in f.node_def)):
        for mark in _COMPILED:
            if mark in node.attr:
                del node.attr[mark]
    for function in graph.library.function:
        for mark in _COMPILED:
            if mark in function.attr:
                del function.attr[mark]
    return graph


def _require_ops(model):
    import onnx

    def is_known(node):
        return node.domain == '' and onnx.defs.has(node.op_type)

    unknown = sorted({node.op_type for node in model.graph.node if not is_known(node)})
    if unknown:
        raise InputError(f'export.format: ONNX has no {", ".join(unknown)}, which the network '
                         'uses; expected saved_model, or another model.backbone. Nothing was '
                         'exported.')


def _rename(graph, names):
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(end, end) for end in ends]


def _narrow(graph, weights):
    """Stores weights as float16 or int8, with nodes that turn them into float32."""
    from onnx import helper, numpy_helper

    readers = collections.defaultdict(list)
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers[name].append((node.op_type, place))
    nodes = []
    for tensor in list(graph.initializer):
        values, used = numpy_helper.to_array(tensor), readers[tensor.name]
        if values.dtype != np.float32 or values.size < _SMALL:
            continue
        name, narrow = tensor.name, f'{tensor.name}_{weights}'
        if weights == 'float16':
            stored = {narrow: np.clip(values, -65504, 65504).astype(np.float16)}
            node = helper.make_node('Cast', [narrow], [name], to=1)  # float32
        elif values.ndim > 1:
            axis = 0 if ('Conv', 1) in used else values.ndim - 1  # of output channels
            others = tuple(i for i in range(values.ndim) if i != axis)
            scale = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / 127
            stored = {narrow: np.round(values / scale).astype(np.int8),
                      f'{narrow}_scale': scale.ravel().astype(np.float32)}
            node = helper.make_node('DequantizeLinear', [*stored], [name], axis=axis)
        else:
            continue
        nodes.append(node)
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(array, key)
                                 for key, array in stored.items())
    before = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *before])
