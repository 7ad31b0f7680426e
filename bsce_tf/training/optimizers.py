"""config.optimizer → the optimizer; smaller learning rates for layers further from the head."""

import dataclasses
import math

import keras

from bsce_tf import fields, internals
from bsce_tf.models.layers import tokens

NAMES = fields.choices('optimizer.name')


class _RateFactors(internals.OwnSums):
    """A variable's learning rate is the optimizer's times a factor of its own.

    Weight decay stays that of the optimizer's rate. Gradients come summed over the replicas, see
    `trainer.Trainer`.

    Args:
      *args, **kwargs: of the Keras optimizer.
      rate_factors: {path of a variable: factor}; 1 for those not in it.
    """

    decay_all = True  # whether weight decay is for variables of one axis, too

    def __init__(self, *args, rate_factors=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors or {})

    def build(self, variables):
        self._by_index = [self.rate_factors.get(v.path, 1.0) for v in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        factor = self._by_index[self.place_of(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), 'rate_factors': self.rate_factors}


@keras.saving.register_keras_serializable('bsce_tf')
class SGD(_RateFactors, keras.optimizers.SGD):
    """Keras's SGD with a factor for each variable."""


@keras.saving.register_keras_serializable('bsce_tf')
class AdamW(_RateFactors, keras.optimizers.AdamW):
    """Keras's AdamW with a factor for each variable."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The fields of `config.optimizer`.

    Attributes:
      name: one of `NAMES`.
      learning_rate: to begin with.
      momentum, nesterov: of SGD; AdamW keeps Keras's β.
      weight_decay: decoupled, of kernels; 0 for none.
      decay_all: whether it is of all variables; else those with fewer than two axes have none:
        BatchNorm's γ and β, biases, GeM's p, a head's scale (He et al. 2019, "Bag of Tricks for
        Image Classification with CNNs", section 3.1, "no bias decay").
      layer_decay: see `rate_factors`.
      clip_norm: longest gradient, all variables taken together; 0: any.
      clip_value: largest entry of a gradient; 0: any.
      accumulate: steps whose mean gradient makes one update, see `trainer.Trainer`.
    """

    name: str
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_all: bool = False
    layer_decay: float = 1.0
    clip_norm: float = 0.0
    clip_value: float = 0.0
    accumulate: int = 1


def make(model, settings, scale_loss=False):
    """The optimizer of a classifier.

    Args:
      model: as `models.classifier.build` makes it.
      settings: the `Settings`.
      scale_loss: whether losses are scaled, for float16.
    """
    options = {'learning_rate': settings.learning_rate,
               'global_clipnorm': settings.clip_norm or None,
               'clipvalue': settings.clip_value or None,
               'rate_factors': rate_factors(model, settings.layer_decay)}
    if settings.name == 'sgd':
        optimizer = SGD(momentum=settings.momentum, nesterov=settings.nesterov,
                        weight_decay=settings.weight_decay or None, **options)
    else:
        optimizer = AdamW(weight_decay=settings.weight_decay, **options)
    optimizer.decay_all = settings.decay_all
    if not settings.decay_all:
        optimizer.exclude_from_weight_decay(
            [v for v in model.trainable_variables if len(v.shape) < 2])
    return keras.optimizers.LossScaleOptimizer(optimizer) if scale_loss else optimizer


def rate_factors(model, decay):
    """{path of a variable: decay^depth} for the trainable variables of a classifier.

    Pooling and head have depth 0, and the backbone's stages 1, 2, … from the last feature map to
    the images. Of a transformer they are its blocks (Clark et al. 2020, "ELECTRA", appendix A), see
    `tokens.depths`; of another network what lies at one resolution, each twice as fine as the next,
    as there are no blocks that all of them share.

    Args:
      model: as `models.classifier.build` makes it.
      decay: above 0 to 1.
    """
    depths = {variable.path: 0 for variable in model.trainable_variables}
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    stages = tokens.depths(backbone) or _resolutions(backbone)
    depths.update({path: depth for path, depth in stages.items() if path in depths})
    return {path: decay**depth for path, depth in depths.items()}


def _resolutions(backbone):
    found, depth = {}, 1
    last = tokens.side_of(backbone)
    for layer in _leaves(backbone):
        side = tokens.side_of(layer)
        if side > 1 or last == 1:  # else a squeezed map: it belongs to the stage before
            depth = 1 + round(math.log2(side / last))
        found.update({v.path: depth for v in layer.weights})
    return found


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
