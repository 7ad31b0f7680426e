"""config.optimizer → the optimizer, with smaller learning rates for layers far from the head."""

import dataclasses
import math

import keras

from bsce_tf import fields, internals
from bsce_tf.models.layers import tokens

NAMES = fields.choices('optimizer.name')


class _RateFactors(internals.OwnSums):
    """Multiplies the learning rate of each variable by a factor.

    Weight decay uses the learning rate without the factor. Gradients must already be summed over
    the replicas, see `trainer.Trainer`.

    Args:
      *args, **kwargs: of the Keras optimizer.
      rate_factors: {path of a variable: factor}; other variables have the factor 1.
    """

    decay_all = True  # whether variables of one dimension have weight decay, too

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
    """The fields of `config.optimizer`, with their ranges and defaults.

    Attributes:
      name: one of `NAMES`.
      learning_rate: initial.
      momentum, nesterov: of SGD; AdamW has Keras's default β.
      weight_decay: decoupled; 0: none.
      decay_all: whether all variables decay. Otherwise those of fewer than two dimensions do not:
        BatchNorm's γ and β, biases, GeM's p, a head's scale (He et al. 2019, "Bag of Tricks for
        Image Classification with CNNs", section 3.1, "no bias decay").
      layer_decay: see `rate_factors`.
      clip_norm: maximum norm of the gradient of all variables together; 0: no limit.
      clip_value: maximum absolute value of a gradient's entries; 0: no limit.
      accumulate: steps whose mean gradient makes one update, see `trainer.Trainer`.

    Raises:
      InputError: if a field is out of its range.
    """

    name: str
    learning_rate: float = fields.default('optimizer.learning_rate')
    momentum: float = fields.default('optimizer.momentum')
    nesterov: bool = fields.default('optimizer.nesterov')
    weight_decay: float = fields.default('optimizer.weight_decay')
    decay_all: bool = fields.default('optimizer.decay_all')
    layer_decay: float = fields.default('optimizer.layer_decay')
    clip_norm: float = fields.default('optimizer.clip_norm')
    clip_value: float = fields.default('optimizer.clip_value')
    accumulate: int = fields.default('optimizer.accumulate')

    def __post_init__(self):
        """Checks the ranges."""
        for field in dataclasses.fields(self):
            fields.check(f'optimizer.{field.name}', getattr(self, field.name))


def make(model, settings, scale_loss=False):
    """The optimizer of a classifier.

    Args:
      model: as `models.classifier.build` makes it.
      settings: the `Settings`.
      scale_loss: whether to wrap it in a LossScaleOptimizer, for float16.
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

    Pooling and head have depth 0. The backbone's stages have depth 1, 2, … from the last feature
    map back to the images. The stages of a transformer are its blocks (Clark et al. 2020,
    "ELECTRA", appendix A), see `tokens.depths`. In a convolutional network, all layers of one
    resolution are a stage, because block structures differ from one network to the next.

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
        if side > 1 or last == 1:  # else squeeze-and-excitation: of the stage before
            depth = 1 + round(math.log2(side / last))
        found.update({v.path: depth for v in layer.weights})
    return found


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
