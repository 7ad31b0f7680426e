"""config.stages → the config of each stage."""

from bsce_tf import fields
from bsce_tf.errors import InputError, alike

# Fields, or groups of them, that a stage may change. Data, classes and network stay the same.
FIELDS = ('epochs', 'steps', 'batch_size', 'image', 'augment', 'sampler', 'loss', 'optimizer',
          'schedule', 'averaging', 'model.dropout', 'model.freeze', 'model.head')

# Of the paper, section 4.1: side of the crop, and the scales to which images are resized first.
_SIZE, _SCALES, _EVAL_SCALE = 331, (384, 412, 424, 436, 464), 436


def resolve(config):
    """The config of every stage: the run's config with the changes of that stage.

    Args:
      config: ConfigDict; `config.stages` is a sequence of {dotted name of a field: value}.

    Returns:
      List of ConfigDicts, one for each stage.

    Raises:
      InputError: if there is no stage, or a stage changes a field that it may not change.
    """
    if not config.stages:
        raise InputError(f'config.stages: found {config.stages!r}; expected at least one stage, as '
                         '({},), which changes nothing.')
    return [_stage(config, i, dict(changes)) for i, changes in enumerate(config.stages)]


def epoch_steps(config, images):
    """Steps of an epoch.

    Args:
      config: ConfigDict of the stage.
      images: that an epoch of its sampler draws.
    """
    return config.steps or max(images // config.batch_size, 1)


def check_length(config, images):
    """Raises InputError if a stage ends before its warm-up, or before its first update.

    Args:
      config, images: as for `epoch_steps`.
    """
    of_epoch = epoch_steps(config, images)
    steps = config.epochs * of_epoch
    for name, value in (('schedule.warmup_steps', config.schedule.warmup_steps),
                        ('optimizer.accumulate', config.optimizer.accumulate)):
        if value > steps:
            raise InputError(f'config.{name}: found {value}; expected at most the {steps} steps of '
                             f'the stage ({config.epochs} epochs of {of_epoch}).')


def _stage(config, number, changes):
    stage = config.copy_and_resolve_references()
    for given, value in changes.items():
        name = fields.current(given)
        if not _may_change(name):
            known = '' if name in fields.TABLE else alike(name, filter(_may_change, fields.TABLE))
            raise InputError(f"config.stages[{number}]: found '{name}'{known}; expected fields of "
                             f'{", ".join(FIELDS)}.')
        try:
            with stage.ignore_type():
                stage.update_from_flattened_dict({name: value})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"config.stages[{number}]: found '{name}' = {value!r}, which is no "
                             f'field{alike(name, filter(_may_change, fields.TABLE))}; expected '
                             'fields of configs/default.py.') from error
    _set_scales(stage.image)
    return stage


def _may_change(name):
    return any(name == field or name.startswith((field + '.', field + '_')) for field in FIELDS)


def _set_scales(image):
    """Sets missing scales: the paper's, in proportion to the size of the crop."""
    size = image.size if type(image.size) is int else _SIZE  # config_check reports another type
    if image.scales in ((), []):
        image.scales = tuple(dict.fromkeys(round(scale * size / _SIZE) for scale in _SCALES))
    if image.eval_scale == 0:
        image.eval_scale = round(_EVAL_SCALE * size / _SIZE)
