"""Turns the variables of a model into constants.

oneDNN reorders constant weights once instead of at every call; Eigen, the default on CPUs without
AVX-512, gains nothing. Constants cost memory (several copies of the weights for each signature that
is used) and time to load: see benchmarks/export.py.
"""

import numpy as np
import tensorflow as tf

from bsce_tf import internals

# In bytes: a SavedModel's graph is one protocol buffer of less than 2 GiB; the rest is for ops.
LARGEST = 1_900_000_000


def size_of(models):
    """Bytes of the weights of Keras models."""
    return sum(int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize
               for model in models for w in model.weights)


def freeze(function, spec):
    """`function` with the current values of its variables as constants.

    Args:
      function: function of one tensor.
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
