"""Checks a config before anything runs: unknown fields, types, ranges and names."""

import ast
import math

from bsce_tf import losses
from bsce_tf.data import augment, bad_images, crops, pipeline
from bsce_tf.data.sources import SOURCES
from bsce_tf.errors import InputError
from bsce_tf.evaluation.audit import cleaning, confident
from bsce_tf.models import heads
from bsce_tf.models.backbones import BACKBONES
from bsce_tf.training import optimizers, schedule, stages, strategy, tracking, workdir


def check(config):
    """Raises InputError that names the first field of `config` that is not as it must be.

    Args:
      config: ConfigDict with the fields of configs/default.py.
    """
    fields = dict(_flat(config))
    for name, value in fields.items():
        _check_field(name, value)
    for name in RULES.keys() - fields.keys():
        raise InputError(f'config.{name}: missing; expected {RULES[name][1]}.')
    for stage in stages.resolve(config):
        for name, value in _flat(stage):
            _check_field(name, value)
        _check_scales(stage)


def _check_scales(config):
    size = config.image.size
    for name, scale in (('scales', min(config.image.scales)),
                        ('eval_scale', config.image.eval_scale)):
        if scale < size:
            raise InputError(f'config.image.{name}: found {scale}; expected at least image.size, '
                             f'which is {size}.')


def check_override(name, text):
    """Raises InputError if `--config.<name>=<text>` names no field or has a value not allowed."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    _check_field(name, value)


def _check_field(name, value):
    if name not in RULES:
        block = name.rpartition('.')[0]
        alike = [rule for rule in RULES if rule.rpartition('.')[0] == block]
        raise InputError(f'config.{name}: unknown field; expected one of '
                         f'{", ".join(alike or RULES)}.')
    accepts, expected = RULES[name]
    if not accepts(value):
        raise InputError(f'config.{name}: found {value!r}; expected {expected}.')


def _flat(tree, prefix=''):
    for key, value in tree.items():
        if hasattr(value, 'items'):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _integer(low, high=math.inf):
    text = f'a whole number from {low} to {high}' if high < math.inf else f'a whole number ≥ {low}'
    return lambda v: type(v) is int and low <= v <= high, text


def _number(low, high=math.inf, open_low=False, open_high=False):
    def accepts(value):
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return (low < value if open_low else low <= value) and (
            value < high if open_high else value <= high)
    bounds = [f'{"above" if open_low else "≥"} {low:g}'] if low > -math.inf else []
    if high < math.inf:
        bounds.append(f'{"below" if open_high else "≤"} {high:g}')
    return accepts, f'a number {" and ".join(bounds)}'


def _one_of(names):
    return lambda v: type(v) is str and v in names, f'one of {", ".join(names)}'


_BOOLEAN = (lambda v: type(v) is bool, 'True or False')
_TEXT = (lambda v: type(v) is str, 'a string')
_RANGE = (lambda v: type(v) in (tuple, list) and len(v) == 2
          and all(type(x) in (int, float) for x in v) and 0 < v[0] <= v[1],
          'two numbers above 0, the smaller first')
_SIZES = (lambda v: type(v) in (tuple, list) and len(v) > 0
          and all(type(s) is int and s >= 8 for s in v), 'whole numbers ≥ 8, at least one')
_MAYBE_SIZES = (lambda v: v == () or _SIZES[0](v), 'whole numbers ≥ 8, or ()')
_EPOCHS = (lambda v: type(v) in (tuple, list) and all(type(s) is int and s > 0 for s in v),
           'whole numbers ≥ 1 in brackets')
_STAGES = (lambda v: type(v) in (tuple, list) and all(type(s) is dict for s in v),
           "a tuple of dicts, as ({'epochs': 20}, {'epochs': 5, 'sampler.gamma': 1.0})")
_NAMES = (lambda v: type(v) in (tuple, list) and all(type(s) is str and s for s in v),
          "names in brackets, as ('stem', 'block1')")

RULES = {
    'seed': _integer(0, 2**31 - 1),
    'deterministic': _BOOLEAN,
    'strategy': _one_of(strategy.NAMES),
    'replicas': _integer(0),
    'precision': _one_of(('float32', 'mixed_float16', 'mixed_bfloat16')),
    'jit_compile': _BOOLEAN,
    'batch_size': _integer(1),
    'epochs': _integer(1),
    'steps': _integer(0),
    'stages': _STAGES,
    'data.source': _one_of(tuple(SOURCES)),
    'data.root': _TEXT,
    'data.train': _TEXT,
    'data.validation': _TEXT,
    'data.test': _TEXT,
    'data.dataset': _TEXT,
    'data.image_column': _TEXT,
    'data.label_column': _TEXT,
    'data.classes': _TEXT,
    'data.clean': _TEXT,
    'data.cache': _TEXT,
    'data.shard_images': _integer(1),
    'data.max_pixels': _integer(0),
    'data.on_error': _one_of(bad_images.ACTIONS),
    'data.max_bad_fraction': _number(0, 1),
    'data.validation_fraction': _number(0, 0.5, open_low=True),
    'data.imbalance': _number(1),
    'data.noise': _number(0, 1),
    'data.noise_kind': _one_of(('symmetric', 'asymmetric')),
    'image.size': _integer(8),
    'image.scales': _SIZES,
    'image.crop': _one_of(pipeline.CROPS),
    'image.area': _RANGE,
    'image.aspect_ratio': _RANGE,
    'image.aspect': _one_of(crops.ASPECTS),
    'image.antialias': _BOOLEAN,
    'image.eval_scale': _integer(8),
    'augment.flip': _BOOLEAN,
    'augment.vertical_flip': _BOOLEAN,
    'augment.brightness': _number(0, 1),
    'augment.contrast': _number(0, 1),
    'augment.saturation': _number(0, 1),
    'augment.hue': _number(0, 0.5),
    'augment.policy': _one_of(augment.POLICIES),
    'augment.num_layers': _integer(1),
    'augment.magnitude': _number(0, 10),
    'augment.autoaugment_policy': _TEXT,
    'augment.erasing': _number(0, 1),
    'augment.mixup': _number(0),
    'augment.cutmix': _number(0),
    'model.backbone': _one_of(tuple(BACKBONES)),
    'model.weights': _TEXT,
    'model.pooling': _one_of(heads.POOLINGS),
    'model.dropout': _number(0, 1, open_high=True),
    'model.head': _one_of(heads.HEADS),
    'model.head_scale': _number(0, open_low=True),
    'model.head_learn_scale': _BOOLEAN,
    'model.head_tau': _number(0),
    'model.freeze': _NAMES,
    'model.sync_batch_norm': _BOOLEAN,
    'loss.name': _one_of(losses.NAMES),
    'loss.alpha': _number(0),
    'loss.beta': _number(0),
    'loss.log_zero': _number(-math.inf, 0, open_high=True),
    'loss.label_smoothing': _number(0, 1, open_high=True),
    'loss.weight_cap': _number(0),
    'optimizer.name': _one_of(optimizers.NAMES),
    'optimizer.learning_rate': _number(0, open_low=True),
    'optimizer.momentum': _number(0, 1, open_high=True),
    'optimizer.nesterov': _BOOLEAN,
    'optimizer.weight_decay': _number(0),
    'optimizer.layer_decay': _number(0, 1, open_low=True),
    'optimizer.clip_norm': _number(0),
    'optimizer.clip_value': _number(0),
    'optimizer.accumulate': _integer(1),
    'schedule.name': _one_of(schedule.NAMES),
    'schedule.factor': _number(0, 1, open_low=True, open_high=True),
    'schedule.patience': _integer(1),
    'schedule.milestones': _EPOCHS,
    'schedule.final': _number(0, 1),
    'schedule.warmup_steps': _integer(0),
    'sampler.gamma': _number(0),
    'sampler.cap': _integer(0),
    'averaging.ema': _number(0, 1, open_high=True),
    'averaging.swa_epochs': _integer(0),
    'averaging.batches': _integer(1),
    'averaging.select': _one_of(('best', *workdir.KINDS)),
    'checkpoint.steps': _integer(0),
    'checkpoint.minutes': _number(0),
    'checkpoint.keep': _integer(1),
    'tracking': _one_of(tracking.NAMES),
    'tta.scales': _MAYBE_SIZES,
    'evaluate.output': _TEXT,
    'audit.folds': _integer(2),
    'audit.model': _TEXT,
    'audit.top_k': _integer(2),
    'audit.score': _one_of(confident.SCORES),
    'audit.rule': _one_of(cleaning.RULES),
    'audit.below': _number(0, open_low=True),
    'audit.keep': _integer(1),
    'audit.rounds': _integer(1),
    'audit.duplicate_similarity': _number(0, 1),
    'predict.input': _TEXT,
    'predict.model': _TEXT,
    'predict.output': _TEXT,
    'predict.format': _one_of(('csv', 'aliproducts')),
    'predict.top_k': _integer(1),
    'export.folder': _TEXT,
    'export.name': _TEXT,
    'export.top_k': _integer(1),
    'export.optimise': _BOOLEAN,
    'export.freeze': _BOOLEAN,
    'export.bad_image': _one_of(('error', 'empty')),
    'export.images': _TEXT,
    'report.output': _TEXT,
    'report.pairs': _integer(0),
    'report.errors': _integer(0),
}
