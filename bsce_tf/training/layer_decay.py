"""Smaller learning rates for layers further from the head."""

import math

import keras


@keras.saving.register_keras_serializable('bsce_tf')
class SGD(keras.optimizers.SGD):
    """SGD where a variable's learning rate is the optimizer's times a factor of its own.

    Weight decay stays that of the optimizer's rate.

    Args:
      *args, **kwargs: of `keras.optimizers.SGD`.
      factors: {path of a variable: factor}; 1 for those not in it.
    """

    def __init__(self, *args, factors=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.factors = dict(factors or {})

    def build(self, variables):
        # In update_step a variable is TensorFlow's own, which does not know its path.
        self._by_index = [self.factors.get(v.path, 1.0) for v in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        factor = self._by_index[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), 'factors': self.factors}


def factors(model, decay):
    """{path of a variable: decay^depth} for the trainable variables of a classifier.

    Pooling and head have depth 0, and the backbone's stages 1, 2, … from the last feature map to
    the images: a stage is what lies at one resolution, each twice as fine as the next. So depth
    means the same in every network. (Layer-wise decay: Clark et al. 2020, "ELECTRA", appendix A; by
    stage, as there are no blocks that all networks share.)

    Args:
      model: as `models.classifier.build` makes it.
      decay: above 0 to 1.
    """
    depths = {variable.path: 0 for variable in model.trainable_variables}
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    last = backbone.output_shape[1]
    depth = 1
    for layer in _leaves(backbone):
        side = layer.output.shape[1] if len(layer.output.shape) == 4 else 1
        if side > 1 or last == 1:  # else a squeezed map: it belongs to the stage before
            depth = 1 + round(math.log2(side / last))
        depths.update({v.path: depth for v in layer.trainable_variables})
    return {path: decay**depth for path, depth in depths.items()}


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
