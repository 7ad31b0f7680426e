"""A model as a function without variables.

oneDNN's kernels lay weights that are constants out once, instead of at every call; Eigen's, the
default on CPUs without AVX-512, gain nothing. Constants cost memory, several copies of the weights
in each signature that is used, and time to load: see benchmarks/export.py.
"""

import numpy as np
import tensorflow as tf

from bsce_tf import internals

# A SavedModel's graph is one protocol buffer, of less than 2 GiB; the rest is left to the graph.
LARGEST = 1_900_000_000


def size_of(models):
    """Bytes of the weights of Keras models."""
    return sum(int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize
               for model in models for w in model.weights)


def freeze(function, spec):
    """`function` with the values that its variables have now as constants.

    Args:
      function: of one tensor.
      spec: TensorSpec of the tensor.

    Returns:
      Function of such a tensor with the same result.
    """
    traced = tf.function(function, input_signature=[spec], autograph=False)
    frozen = internals.with_constants(traced.get_concrete_function())

    def call(tensor):
        (result,) = frozen(tf.convert_to_tensor(tensor))
        return result

    return call
