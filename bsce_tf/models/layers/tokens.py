"""For transformers: tokens as a feature map or one vector, and the depth of each variable."""

import math

import keras
from keras import layers, ops

from bsce_tf import internals


@keras.saving.register_keras_serializable('bsce_tf')
class TokenMap(layers.Layer):
    """Patch tokens as a feature map: `[n, tokens, c]` → `[n, side, side, c]`.

    It drops what precedes the patch tokens: class token and registers.

    Args:
      side: patches per row.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, side, **kwargs):
        super().__init__(**kwargs)
        self.side = side

    def call(self, tokens):
        patches = tokens[:, -self.side**2:]
        return ops.reshape(patches, (-1, self.side, self.side, tokens.shape[-1]))

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.side, self.side, input_shape[-1]

    def get_config(self):
        return {**super().get_config(), 'side': self.side}


@keras.saving.register_keras_serializable('bsce_tf')
class ClassToken(layers.Layer):
    """The first token, `[n, tokens, c]` → `[n, c]`."""

    def call(self, tokens):
        return tokens[:, 0]

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[-1]


def depths(backbone):
    """{path of a variable: depth} of a transformer; {} for another network.

    The last block and what follows it have depth 1, the block before it 2, and so on. What precedes
    the first block (patch and position embedding) is deepest. Blocks are composite layers of the
    same class, side by side in the model or in one of its layers, that output tokens.

    Args:
      backbone: functional `keras.Model`.
    """
    blocks = _blocks(backbone)
    if not blocks:
        return {}
    own = {id(block): len(blocks) - i for i, block in enumerate(blocks)}
    found, depth = {}, len(blocks) + 1
    for layer in backbone.layers:
        inner = [part for part in (layer, *internals.inner_layers(layer)) if id(part) in own]
        if inner:
            depth = max(own[id(inner[-1])] - 1, 1)
        found.update({v.path: depth for v in layer.weights})
        for block in inner:
            found.update({v.path: own[id(block)] for v in block.weights})
    return found


def _blocks(backbone):
    giving = [layer for layer in backbone.layers if _gives_tokens(layer)]
    for candidates in (giving, *map(internals.inner_layers, giving)):
        kinds = {}
        for layer in candidates:
            composite = layer.weights and internals.inner_layers(layer)
            if composite and not type(layer).__module__.startswith('keras.'):
                kinds.setdefault(type(layer), []).append(layer)
        several = [kind for kind in kinds.values() if len(kind) > 1]
        if several:  # other classes may repeat, too, such as first layers of stages: smaller
            return max(several, key=lambda kind: sum(len(layer.weights) for layer in kind))
    return []


def _gives_tokens(layer):
    return len(_shape(layer)) == 3


def _shape(layer):
    return keras.tree.flatten(layer.output)[0].shape


def side_of(layer):
    """Side of the feature map that a layer or model outputs, or of the square of its tokens.

    1 if the output is neither `[n, side, side, c]` nor `[n, side², c]`.
    """
    shape = _shape(layer)
    if len(shape) == 4:
        return shape[1]
    side = math.isqrt(shape[1]) if len(shape) == 3 and shape[1] else 1
    return side if side > 1 and side**2 == shape[1] else 1
