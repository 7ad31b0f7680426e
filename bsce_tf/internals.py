"""All that this program uses of Keras and TensorFlow that is not public, in one place.

Each function says why, and which tests fail where a new version has changed it.
"""


def all_layers(model):
    """List of the layers in a model, with those inside of nested models and composite layers.

    `Model.layers` gives the outermost alone. tests/models/test_classifier.py freezes and
    synchronises inner layers.
    """
    return list(model._flatten_layers(include_self=False))


def inner_layers(layer):
    """List of the layers that a layer or model holds itself, without those inside of them.

    tests/models/backbones/test_hub.py finds the blocks of transformers by it.
    """
    return list(layer._flatten_layers(include_self=False, recursive=False))


def preset_loader(preset):
    """KerasHub's loader of a preset, which tells its class before anything is built.

    Its public way builds the whole network first, of language models with billions of weights.
    tests/models/backbones/test_hub.py asks for a preset of text.
    """
    from keras_hub.src.utils import preset_utils
    return preset_utils.get_preset_loader(preset)


def calls_of(layer):
    """List of a layer's calls; each has `input_tensors` and `outputs`.

    Keras has no public way to ask which layer reads a tensor. tests/serving/test_fold.py folds by
    it.
    """
    return layer._inbound_nodes


class OwnSums:
    """Base of an optimizer whose gradients come summed over the replicas.

    Keras would sum them a second time, after clipping. tests/training/test_trainer.py compares two
    replicas with one.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars

    def place_of(self, variable):
        """Place of a variable in the list that `build` was given.

        In `update_step` a variable is TensorFlow's own, which does not know its path.
        tests/training/test_optimizers.py checks the rate of each layer.
        """
        return self._get_variable_index(variable)


def compiled_by_xla():
    """Whether the code being traced will be compiled by XLA.

    A grouped convolution's gradient works as a whole or group by group; XLA's CPU code for the
    whole is some hundred times slower.
    tests/models/layers/test_grouped_convolution.py looks at the operations of both.
    """
    import tensorflow as tf
    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def with_constants(function):
    """A concrete function with the values that its variables have now as constants.

    tests/serving/test_export.py exports with frozen weights.
    """
    from tensorflow.python.framework import convert_to_constants
    return convert_to_constants.convert_variables_to_constants_v2(function)


def is_of_softmax(tensor):
    """Whether a softmax made this tensor, as far as it can be told.

    Keras marks what its softmax gives, and TensorFlow's graphs tell the operation; Keras's own
    losses look at the same. tests/losses/test_labels.py trains such models.
    """
    operation = getattr(tensor, 'op', None)
    while getattr(operation, 'type', '') in ('Cast', 'Identity'):
        operation = operation.inputs[0].op
    return hasattr(tensor, '_keras_logits') or getattr(operation, 'type', '') == 'Softmax'
