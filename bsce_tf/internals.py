"""All uses of non-public parts of Keras, KerasHub and TensorFlow.

Each function says why it is needed, and which tests fail if a new version changes it.
"""


def all_layers(model):
    """List of all layers in a model, including those in nested models and composite layers.

    `Model.layers` has only the outermost ones. tests/models/test_classifier.py freezes and
    synchronises inner layers.
    """
    return list(model._flatten_layers(include_self=False))


def inner_layers(layer):
    """List of the layers directly in a layer or model, without the layers inside those.

    tests/models/backbones/test_hub.py finds the blocks of transformers with it.
    """
    return list(layer._flatten_layers(include_self=False, recursive=False))


def preset_loader(preset):
    """KerasHub's loader of a preset, which knows the class before anything is built.

    The public function builds the network first, even a language model with billions of weights.
    tests/models/backbones/test_hub.py asks for a text preset.
    """
    from keras_hub.src.utils import preset_utils
    return preset_utils.get_preset_loader(preset)


def calls_of(layer):
    """List of a layer's calls; each has `input_tensors` and `outputs`.

    Keras has no public way to ask which layer reads a tensor. tests/serving/test_fold.py needs it.
    """
    return layer._inbound_nodes


class OwnSums:
    """Base of an optimizer that gets gradients already summed over the replicas.

    Keras would sum them again, after clipping. tests/training/test_trainer.py compares two replicas
    with one.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars

    def place_of(self, variable):
        """Index of a variable in the list that `build` was given.

        `update_step` gets TensorFlow's variable, which does not know its Keras path.
        tests/training/test_optimizers.py checks the rate of each layer.
        """
        return self._get_variable_index(variable)


def compiled_by_xla():
    """Whether the code being traced will be compiled by XLA.

    If so, the gradient of a grouped convolution is computed group by group: XLA's CPU code for
    all groups at once is about a hundred times slower.
    tests/models/layers/test_grouped_convolution.py looks at the operations of both ways.
    """
    import tensorflow as tf
    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def with_constants(function):
    """A concrete function with its variables replaced by constants of their current values.

    tests/serving/test_export.py exports with frozen weights.
    """
    from tensorflow.python.framework import convert_to_constants
    return convert_to_constants.convert_variables_to_constants_v2(function)


def is_of_softmax(tensor):
    """Whether a softmax made this tensor, as far as can be seen.

    Keras marks the output of its softmax, and graph tensors know their operation; Keras's own
    losses check the same. tests/losses/test_labels.py trains such models.
    """
    operation = getattr(tensor, 'op', None)
    while getattr(operation, 'type', '') in ('Cast', 'Identity'):
        operation = operation.inputs[0].op
    return hasattr(tensor, '_keras_logits') or getattr(operation, 'type', '') == 'Softmax'
