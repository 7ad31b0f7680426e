import importlib

import pytest

from bsce_tf import config_check
from bsce_tf.errors import InputError
from bsce_tf.training import stages


def config_of(*changes):
    config = importlib.import_module('configs.smoke').get_config()
    config.stages = changes
    return config


def test_a_stage_is_the_run_with_what_it_changes():
    config = config_of({}, {'epochs': 5, 'sampler.gamma': 1.0, 'image.scales': (30, 40),
                            'model.freeze': ('stem',), 'model.head_tau': 0.5})
    first, second = stages.resolve(config)
    assert first.to_dict() == config.to_dict()
    assert (second.epochs, second.sampler.gamma, second.image.scales) == (5, 1.0, (30, 40))
    assert (second.model.freeze, second.loss.alpha) == (('stem',), config.loss.alpha)
    assert config.epochs == 1
    config_check.check(config)


@pytest.mark.parametrize(('changes', 'message'), [
    ((), r'config.stages: found \(\); expected at least one stage'),
    (({'data.noise': 0.1},), r"stages\[0\]: found 'data.noise'; expected fields of epochs"),
    (({}, {'model.backbone': 'resnet50'}), r"stages\[1\]: found 'model.backbone'"),
    (({}, {'loss.alhpa': 1.0}), r'config.stages\[1\].loss.alhpa: unknown field \(did you mean '
     r'loss.alpha\?\); expected one of loss.name'),
    (({'loss': {'alhpa': 1.0}},), r'config.stages\[0\].loss.alhpa: .*did you mean loss.alpha'),
    (({'loss.name.x': 1.0},), r"stages\[0\]: found 'loss.name.x' = 1.0, which is no field"),
    (({'epoch': 3},), r"stages\[0\]: found 'epoch' \(did you mean epochs\?\); expected fields of"),
    (({'losses.alpha': 3},), r"stages\[0\]: found 'losses.alpha' \(did you mean loss.alpha\?\)"),
    (({}, {'loss.name': 'bse'}), r"config.stages\[1\].loss.name: found 'bse' \(did you mean bsce"),
    (({}, {'epochs': 0}), r'config.stages\[1\].epochs: found 0'),
    (({'image.size': 64},), r'image.scales: found 24; expected at least image.size, which is 64'),
    (({'optimizer.learning_rate': 'fast'},), "found 'fast'")])
def test_what_a_stage_may_not_be(changes, message):
    with pytest.raises(InputError, match=message):
        config_check.check(config_of(*changes))


def test_stages_that_are_no_dicts():
    config = config_of()
    config.stages = ('epochs',)
    with pytest.raises(InputError, match='a tuple of dicts'):
        config_check.check(config)
