"""config.stages → the config of each stage."""

from bsce_tf.errors import InputError

# What a stage may change: fields, or groups of them. Data, classes and network are the run's.
FIELDS = ('epochs', 'steps', 'batch_size', 'image', 'augment', 'sampler', 'loss', 'optimizer',
          'schedule', 'averaging', 'model.dropout', 'model.freeze', 'model.head')


def resolve(config):
    """The config of every stage: the run's, with what the stage changes.

    Args:
      config: ConfigDict; `config.stages` is a sequence of {dotted name of a field: value}.

    Returns:
      List of ConfigDicts, at least one.

    Raises:
      InputError: if there is no stage, or a stage is no such dict or changes what it may not.
    """
    if not config.stages:
        raise InputError(f'config.stages: found {config.stages!r}; expected at least one stage, as '
                         '({},), which changes nothing.')
    return [_stage(config, i, dict(changes)) for i, changes in enumerate(config.stages)]


def _stage(config, number, changes):
    stage = config.copy_and_resolve_references()
    for name, value in changes.items():
        if not any(name == field or name.startswith((field + '.', field + '_'))
                   for field in FIELDS):
            raise InputError(f"config.stages[{number}]: found '{name}'; expected fields of "
                             f'{", ".join(FIELDS)}.')
        try:
            with stage.ignore_type():
                stage.update_from_flattened_dict({name: value})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"config.stages[{number}]: found '{name}' = {value!r}, which is no "
                             'field; expected fields of configs/default.py.') from error
    return stage
