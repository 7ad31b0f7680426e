"""Rules for several fields: values that contradict each other, and fields without effect."""

from absl import logging

from bsce_tf import fields, losses
from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.models import backbones
from bsce_tf.models.backbones import hub
from bsce_tf.training import stages

_FAR = 2  # scale / crop size from which on a crop shows a quarter of the image or less

# Of modes that train:
# (fields, condition under which they have an effect, the condition in words). All others always do.
EFFECTS = (
    ('replicas', lambda c: c.strategy != 'one', 'strategy other than one'),
    ('data.noise_kind', lambda c: c.data.noise > 0, 'data.noise'),
    ('data.max_bad_fraction', lambda c: c.data.on_error == 'skip', 'data.on_error = skip'),
    ('data.validation_fraction', lambda c: not c.data.validation, 'no data.validation'),
    ('image.scales', lambda c: c.image.crop == 'multi_scale' or not c.tta.scales,
     'image.crop = multi_scale, or no tta.scales'),
    ('image.area image.aspect_ratio', lambda c: c.image.crop == 'random_resized',
     'image.crop = random_resized'),
    ('augment.num_layers augment.magnitude', lambda c: c.augment.policy == 'randaugment',
     'augment.policy = randaugment'),
    ('augment.autoaugment_policy', lambda c: c.augment.policy == 'autoaugment',
     'augment.policy = autoaugment'),
    ('model.features', lambda c: c.model.embedding, 'model.embedding'),
    ('model.head_parts', lambda c: c.strategy != 'one', 'strategy other than one'),
    ('model.head_scale model.head_learn_scale', lambda c: c.model.head == 'cosine',
     'model.head = cosine'),
    ('model.head_tau', lambda c: c.model.head == 'tau', 'model.head = tau'),
    ('loss.weight_cap', lambda c: _balance(c) == 'weights', 'a loss or loss.balance with weights'),
    ('loss.effective_beta', lambda c: _balance(c) == 'effective',
     'a loss or loss.balance of effective numbers'),
    ('loss.tau', lambda c: _balance(c) == 'logit_adjustment',
     'a loss or loss.balance of logit_adjustment'),
    ('loss.reverse_on', lambda c: c.loss.beta > 0
     and 'reverse_on' in losses.row(c.loss.name).fields
     and (_balance(c) == 'logit_adjustment'
          or c.loss.reverse_on == 'weighted' and _balance(c) != 'none'),
     'a reverse term and a prior; weighted also with class weights'),
    *((f'loss.{field}', lambda c, field=field: field in losses.row(c.loss.name).fields.values(),
       'loss.name ' + ', '.join(name for name, row in losses.TABLE.items()
                                if field in row.fields.values()))
      for field in sorted({f for row in losses.TABLE.values() for f in row.fields.values()}
                          - {'reverse_on'})),
    ('optimizer.momentum', lambda c: c.optimizer.name == 'sgd', 'optimizer.name = sgd'),
    ('optimizer.nesterov', lambda c: c.optimizer.name == 'sgd' and c.optimizer.momentum > 0,
     'optimizer.name = sgd and momentum'),
    ('optimizer.decay_all', lambda c: c.optimizer.weight_decay > 0, 'optimizer.weight_decay'),
    ('schedule.factor', lambda c: c.schedule.name in ('plateau', 'step'),
     'schedule.name plateau, step'),
    ('schedule.patience schedule.min_rate', lambda c: c.schedule.name == 'plateau',
     'schedule.name = plateau'),
    ('schedule.min_delta', lambda c: c.schedule.name == 'plateau' or c.schedule.stop_patience,
     'schedule.name = plateau, or stop_patience'),
    ('schedule.milestones', lambda c: c.schedule.name == 'step', 'schedule.name = step'),
    ('schedule.final', lambda c: c.schedule.name == 'cosine', 'schedule.name = cosine'),
    ('averaging.batches', lambda c: c.averaging.swa_epochs > 0 or (
        c.averaging.statistics == 'estimated')
        or (c.averaging.statistics == 'auto' and c.model.weights),
     'averaging.swa_epochs, or estimated statistics'),
)

_AUDIT = ('audit.folds', lambda c: not c.audit.model, 'no audit.model')
_REMOVES = (lambda c: not (c.index.remove or c.index.remove_classes),
            'no index.remove and no index.remove_classes')
_SKIPS = ('data.max_bad_fraction', lambda c: c.data.on_error == 'skip', 'data.on_error = skip')


def _of_index(block, more=''):
    """Rows of the fields that need an answer by an index; `block` has the field `by`."""
    return ((f'index.folder neighbours.k neighbours.temperature {more}',
             lambda c: c[block].by != 'classifier', f'{block}.by neighbours, both'),
            ('neighbours.mix', lambda c: c[block].by == 'both', f'{block}.by = both'))


_ENGINE = ('engine.parts engine.cpus engine.gpus', lambda c: c.engine.name != 'none', 'engine.name')

# Rows as those of `EFFECTS`, of the fields that a mode has besides those of training.
OF_MODES = {
    'inspect': (_ENGINE,),
    'verify': (_ENGINE,),
    'pack': (_ENGINE, _SKIPS, ('pack.quality', lambda c: c.pack.side > 0, 'pack.side')),
    'audit': (_ENGINE, _AUDIT, ('audit.rounds', lambda c: False, '--mode=clean_train')),
    'clean_train': (_AUDIT,),
    'review': (
        ('review.program', lambda c: c.review.write or c.review.read,
         'review.write or review.read'),
        ('review.port', lambda c: not (c.review.write or c.review.read),
         'neither review.write nor review.read')),
    'index': (('index.input index.classes index.kind', *_REMOVES),),
    'evaluate': (*_of_index('predict', 'index.probes'), (
        'evaluate.depth evaluate.false_accept_rate', lambda c: c.predict.by != 'classifier',
        'predict.by neighbours, both')),
    'predict': (_ENGINE, *_of_index('predict', 'index.probes'), (
        'neighbours.reject', lambda c: c.predict.by != 'classifier', 'predict.by neighbours, both'),
        ('predict.top_k', lambda c: c.predict.format == 'csv', 'predict.format = csv'),
        ('tta.scales', lambda c: not c.predict.model, 'no predict.model')),
    'export': (*_of_index('export'), (
        'index.probes', lambda c: False, '--mode=evaluate or predict'), (
        'neighbours.reject export.index_type', lambda c: c.export.by != 'classifier',
        'export.by neighbours, both'),
        ('export.measured', lambda c: c.export.weights != 'float32',
         'export.weights float16, int8'),
        ('export.freeze export.bad_image', lambda c: 'saved_model' in c.export.format,
         'saved_model in export.format')),
    'demo_page': (
        ('tta.scales adjust.tau', lambda c: not c.predict.model, 'no predict.model'),),
}


def check(parts):
    """Raises InputError for the first fields that contradict each other.

    Args:
      parts: list of ConfigDicts, one per stage, see `training.stages`; each field is in its range.
    """
    for number, config in enumerate(parts):
        _check_scales(config)
        _check_loss(config)
        _check_optimizer(config)
        _check_schedule(config)
        _check_averages(parts[:number + 1], config)
        mixed = [name for name in ('mixup', 'cutmix') if config.augment[name]]
        if mixed and config.batch_size % 2:
            raise InputError(f'config.batch_size: found {config.batch_size} with augment.'
                             f'{mixed[0]}, which mixes pairs; expected an even number.')


def warn(config, parts, effects):
    """Logs warnings for fields that were set but have no effect.

    Args:
      config: ConfigDict of the run.
      parts: list of the ConfigDicts of its stages, as in `check`.
      effects: rows as those of `EFFECTS`.
    """
    own = stored.flat(stored.tuples(config.to_dict()))
    for names, counts, words in effects:
        for name in names.split():
            if own[name] != fields.TABLE[name].default and not any(map(counts, parts)):
                logging.warning('config.%s: found %r, which has no effect; it needs %s.',
                                name, own[name], words)
            for number, changes in enumerate(config.stages):
                if name in changes and not counts(parts[number]):
                    logging.warning('config.stages[%d]: found %s = %r, which has no effect; it '
                                    'needs %s.', number, name, changes[name], words)


def warn_of_doubts(parts):
    """Logs warnings for values of a training that are allowed but probably not meant."""
    for number, part in enumerate(parts):
        for message in _doubts(part):
            logging.warning('stage %d: %s', number, message)


def _doubts(config):
    """Yields messages on values that are allowed but probably not meant."""
    size, schedule = config.image.size, config.schedule
    if hub.is_preset(config.model.backbone) and not config.model.weights:
        yield (f'model.weights: found none with {config.model.backbone}, which then begins with '
               f"random weights; expected '{hub.WORD}' for those of the preset.")
    model, scale = config.model, config.loss.ldam_scale
    if config.loss.name == 'ldam' and (
            model.head != 'cosine' or model.head_scale != scale or model.head_learn_scale):
        yield (f'loss.name: found ldam with model.head {model.head}; expected model.head=cosine, '
               f'model.head_scale={scale:g} (loss.ldam_scale) and model.head_learn_scale=False, as '
               'its margins are of such logits.')
    seen = [('image.eval_scale', config.image.eval_scale)]
    if config.image.crop == 'multi_scale':
        seen.append(('image.scales', min(config.image.scales)))
    for name, scale in seen:
        if scale >= _FAR * size:
            yield (f'{name}: found {scale} with image.size {size}, so that the network sees '
                   f'{(size / scale)**2:.0%} of an image; expected scales nearer to the size, or '
                   f"none, which gives the paper's proportions.")
    if schedule.name == 'step' and not schedule.milestones:
        yield 'schedule.name: found step without schedule.milestones; the rate never drops.'
    late = [epoch for epoch in schedule.milestones if epoch >= config.epochs]
    if schedule.name == 'step' and late:
        yield (f'schedule.milestones: found {late[0]}, and the stage has {config.epochs} epochs; '
               'the rate does not drop there.')


def _check_scales(config):
    size = config.image.size
    backbones.check_size(config.model.backbone, size)
    for name, scale in (('image.scales', min(config.image.scales)),
                        ('image.eval_scale', config.image.eval_scale),
                        ('tta.scales', min(config.tta.scales, default=size))):
        if scale < size:
            raise InputError(f'config.{name}: found {scale}; expected at least image.size, '
                             f'which is {size}.')


def _check_loss(config):
    loss = config.loss
    mixed = [name for name in ('augment.mixup', 'augment.cutmix', 'loss.label_smoothing')
             if config[name.partition('.')[0]][name.partition('.')[2]]]
    if mixed and not losses.row(loss.name).soft:
        raise InputError(f'config.loss.name: found {loss.name!r} with {mixed[0]}; expected 0 '
                         'there, as this loss takes hard labels alone.')
    if mixed and losses.row(loss.name).numbered and mixed[0].startswith('augment'):
        raise InputError(f'config.loss.name: found {loss.name!r} with {mixed[0]}; expected 0 '
                         'there, as this loss remembers each image.')
    if loss.name == 'ldam' and loss.ldam_margin * loss.ldam_scale > 60:
        raise InputError(f'config.loss.ldam_scale: found {loss.ldam_scale}; expected ldam_scale × '
                         'ldam_margin to be 60 or less.')


def _check_optimizer(config):
    norm, value = config.optimizer.clip_norm, config.optimizer.clip_value
    if norm and value:
        raise InputError(f'config.optimizer.clip_norm: found {norm} with optimizer.clip_value = '
                         f'{value}; expected one of them to be 0.')


def _check_schedule(config):
    floor, rate = config.schedule.min_rate, config.optimizer.learning_rate
    if floor > rate:
        raise InputError(f'config.schedule.min_rate: found {floor}; expected at most '
                         f'optimizer.learning_rate, which is {rate}.')
    if config.schedule.stop_patience and config.averaging.swa_epochs:
        raise InputError('config.schedule.stop_patience: found '
                         f'{config.schedule.stop_patience} with averaging.swa_epochs = '
                         f'{config.averaging.swa_epochs}; expected one of them to be 0: a stage '
                         'that ends early never reaches its last epochs.')
    if config.steps:
        stages.check_length(config, config.steps)


def _check_averages(parts, config):
    epochs, selected = config.averaging.swa_epochs, config.averaging.select
    if epochs > config.epochs:
        raise InputError(f'config.averaging.swa_epochs: found {epochs}; expected at most epochs, '
                         f'which is {config.epochs}.')
    made = {'ema': any(part.averaging.ema for part in parts),
            'swa': any(part.averaging.swa_epochs for part in parts)}
    if not made.get(selected, True):
        field = {'ema': 'averaging.ema', 'swa': 'averaging.swa_epochs'}[selected]
        raise InputError(f"config.averaging.select: found '{selected}' with {field} = 0, which "
                         'makes no such weights; expected it to be above 0.')


def _balance(config):
    return losses.balance_of(config.loss.name, config.loss.balance)
