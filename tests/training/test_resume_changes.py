"""what may change when a run is resumed, and runs of earlier and later versions."""

import json
import shutil
import types

import numpy as np
import pytest

from bsce_tf import fields
from bsce_tf.errors import InputError
from bsce_tf.evaluation import run_data
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.fields import stored
from bsce_tf.training import checkpoint, resume, workdir
from bsce_tf.training.state import State
from bsce_tf.training.train import train
from tests.run_files import rows_of
from tests.smoke import smoke as smoke_config


def smoke(**changes):
    return smoke_config(**{'deterministic': True, **changes})


def epochs_of(folder):
    return [row['epoch'] for row in rows_of(folder)]


def arrays_of(folder):
    return checkpoint.load(folder / 'checkpoints')[2]


def begun(folder, config, **state):
    """A folder with the config of a run; returns a function of changes that plans to go on."""
    folder.mkdir()
    resume.claim(folder, resume.plan(folder, config))

    def going_on(**changes):
        wanted = config.copy_and_resolve_references()
        with wanted.ignore_type():
            wanted.update_from_flattened_dict(changes)
        return resume.plan(folder, wanted, State(**state))

    return going_on


@pytest.fixture(scope='module')
def two_epochs(tmp_path_factory):
    """A finished run; tests that go on take copies."""
    folder = tmp_path_factory.mktemp('two') / 'run'
    train(smoke(epochs=2), folder)
    return folder


def test_a_finished_run_with_more_epochs_ends_as_one_that_had_them_from_the_start(
        two_epochs, tmp_path):
    folder = shutil.copytree(two_epochs, tmp_path / 'run')
    train(smoke(epochs=4, **{'checkpoint.keep': 5, 'export.top_k': 3}), folder)
    train(smoke(epochs=4), tmp_path / 'whole')
    assert epochs_of(folder) == ['1', '2', '3', '4']
    for ours, theirs in zip(arrays_of(folder), arrays_of(tmp_path / 'whole'), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    entry, = json.loads((folder / resume.HISTORY).read_text())
    assert entry['step'] == 4
    assert entry['changes'] == {
        'epochs': {'from': 2, 'to': 4}, 'checkpoint.keep': {'from': 2, 'to': 5},
        'export.top_k': {'from': 5, 'to': 3}}
    assert workdir.config_of(folder).checkpoint.keep == 5
    assert len(checkpoint.names(folder / 'checkpoints')) == 4  # those of 1 to 4 epochs
    assert not (tmp_path / 'whole' / resume.HISTORY).exists()


def test_a_loss_s_memory_of_images_is_as_if_the_run_had_not_stopped(tmp_path):
    for epochs in (1, 2):
        train(smoke(epochs=epochs, **{'loss.name': 'elr'}), tmp_path / 'run')
    train(smoke(epochs=2, **{'loss.name': 'elr'}), tmp_path / 'whole')
    for ours, theirs in zip(arrays_of(tmp_path / 'run'), arrays_of(tmp_path / 'whole'),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stage_is_appended_to_a_finished_run(two_epochs, tmp_path):
    folder = shutil.copytree(two_epochs, tmp_path / 'run')
    config = smoke(epochs=2)
    config.stages = ({}, {'epochs': 1, 'optimizer.learning_rate': 0.001})
    train(config, folder)
    assert epochs_of(folder) == ['1', '2', '3']
    config.stages = ({'epochs': 2}, {'epochs': 1, 'optimizer.learning_rate': 0.002})
    with pytest.raises(InputError, match='stage 1: optimizer.learning_rate is 0.001 there and '
                                         '0.002 now'):
        train(config, folder)
    train(smoke(epochs=2, stages=({'loss.name': 'bsce'}, config.stages[1] | {
        'optimizer.learning_rate': 0.001}, {'epochs': 1})), folder)
    assert epochs_of(folder) == ['1', '2', '3', '4']


def test_other_weights_are_selected_of_a_finished_run(tmp_path):
    config = smoke(**{'averaging.ema': 0.5})
    train(config, tmp_path)
    assert workdir.read(tmp_path).best['kind'] == 'raw'
    config.averaging.select = 'ema'
    train(config, tmp_path)
    assert workdir.read(tmp_path).best['kind'] == 'ema'


def test_every_field_that_would_undo_steps_is_named(tmp_path):
    going_on = begun(tmp_path / 'run', smoke(epochs=5), total=4, epoch=2)
    with pytest.raises(InputError) as error:
        going_on(**{'seed': 3, 'batch_size': 36, 'loss.alpha': 0.5, 'model.pooling': 'gem',
                    'precision': 'mixed_bfloat16', 'augment.hue': 0.1, 'checkpoint.keep': 7})
    for told in ('seed is 0 there and 3 now', 'batch_size is 72 there and 36 now',
                 "loss.alpha is 'by_name' there and 0.5 now", "precision is 'float32' there",
                 "model.pooling is 'avg' there and 'gem' now", 'augment.hue is 0.0 there'):
        assert told in str(error.value)
    assert 'checkpoint' not in str(error.value)
    assert '\n' not in str(error.value)


# What a user may wish to change of a resumed run.
FREE = {'strategy': 'one', 'replicas': 2, 'deterministic': False, 'jit_compile': True, 'epochs': 9,
        'data.root': 'x', 'data.train': 'x', 'data.cache': 'x', 'data.on_error': 'skip',
        'data.max_pixels': 0, 'checkpoint.steps': 1, 'checkpoint.minutes': 1.0,
        'checkpoint.keep': 3, 'tracking': 'mlflow', 'tta.scales': (40,), 'report.pairs': 1,
        'export.name': 'x', 'predict.top_k': 2, 'audit.threshold_factor': 0.4,
        'averaging.select': 'best'}


@pytest.mark.parametrize('name', FREE)
def test_what_changes_no_step_that_was_made_is_taken(tmp_path, name):
    plan = begun(tmp_path / 'run', smoke(epochs=5), total=4, epoch=2)(**{name: FREE[name]})
    assert list(plan.changes) == [name]
    assert stored.flat(plan.config.to_dict())[name] == FREE[name]


@pytest.mark.parametrize(('config', 'state', 'changes', 'message'), [
    ({}, {'epoch': 3}, {'epochs': 2}, 'epochs is 5 there and 2 now, and 3 were begun'),
    ({}, {'epoch': 3, 'step': 1}, {'epochs': 3}, 'and 4 were begun'),
    ({}, {'epoch': 3}, {'epochs': 3}, None),
    ({'schedule.name': 'cosine'}, {'step': 1}, {'epochs': 9}, 'add a stage to config.stages'),
    ({'schedule.name': 'cosine'}, {}, {'epochs': 9}, None),
    ({'averaging.swa_epochs': 2}, {'epoch': 4}, {'epochs': 9}, 'swa_epochs = 2 has begun'),
    ({'averaging.swa_epochs': 2}, {'epoch': 3}, {'epochs': 4}, 'swa_epochs = 2 has begun or would'),
    ({'averaging.swa_epochs': 2}, {'epoch': 3, 'step': 1}, {'epochs': 9}, None),
    ({'stages': ({}, {})}, {'stage': 1}, {'epochs': 6}, 'stage 0: epochs is 5 there and 6 now, and '
                                                        'the stage is done'),
    ({'stages': ({}, {})}, {'stage': 1}, {'stages': ({},)}, 'stages has 2 there, of which 2 were'),
    ({'stages': ({}, {})}, {'epoch': 5}, {'stages': ({},)}, None),
    ({'stages': ({}, {})}, {'epoch': 5}, {'stages': ({}, {'loss.name': 'ce'}, {})}, None),
    ({'stages': ({}, {})}, {'stage': 1}, {'averaging.select': 'best'}, 'stage 1 began with what'),
    ({'data.on_error': 'skip'}, {}, {'data.max_pixels': 0}, 'images may have been left out by it'),
    ({}, {}, {'data.max_pixels': 10}, 'images may have been left out by it')])
def test_bounds(tmp_path, config, state, changes, message):
    going_on = begun(tmp_path / 'run', smoke(epochs=5, **config), **state)
    if message is None:
        assert list(going_on(**changes).changes) == list(changes)
        return
    with pytest.raises(InputError) as error:
        going_on(**changes)
    assert message in str(error.value)


def test_audits_and_rounds_keep_more_fields(tmp_path):
    folder, config = tmp_path / 'audit', smoke(epochs=5)
    resume.claim(folder, resume.plan(folder, config))
    for name, value, audit, rounds in (
            ('audit.folds', 3, True, True), ('audit.threshold_factor', 0.3, False, True),
            ('epochs', 9, True, True), ('tta.scales', (40,), True, True),
            ('audit.rounds', 2, False, False), ('data.clean', 'x', False, True)):
        wanted = config.copy_and_resolve_references()
        wanted.update_from_flattened_dict({name: value})
        for fixed, refused in ((fields.OF_AUDIT, audit), (fields.OF_ROUNDS, rounds)):
            if refused:
                with pytest.raises(InputError, match=f'{name} is '):
                    resume.plan(folder, wanted, fixed=fixed)
            else:
                assert list(resume.plan(folder, wanted, fixed=fixed).changes) == [name]


@pytest.fixture
def older(two_epochs, tmp_path, monkeypatch):
    """A run of a version that had no loss.alpha and no audit, and where α had been 0.7."""
    folder = shutil.copytree(two_epochs, tmp_path / 'older')
    found = json.loads((folder / 'config.json').read_text())
    assert found.pop('version') == fields.VERSION
    del found['loss']['alpha'], found['audit'], found['data']['max_pixels']
    (folder / 'config.json').write_text(json.dumps(found))
    monkeypatch.setitem(fields.TABLE, 'loss.alpha', fields.TABLE['loss.alpha']._replace(old=0.7))
    return folder


def test_a_run_of_an_earlier_version_goes_on_as_it_was(older):
    assert workdir.read(older).config.loss.alpha == 0.7
    assert evaluate(smoke(epochs=2), older)['images'] == 48
    plan = resume.plan(older, smoke(epochs=3), State(epoch=2))
    assert (plan.config.loss.alpha, list(plan.changes)) == (0.7, ['epochs'])
    with pytest.raises(InputError, match='loss.alpha is 0.7 there and 0.5 now'):
        resume.plan(older, smoke(epochs=3, **{'loss.alpha': 0.5}), State(epoch=2))
    train(smoke(epochs=3), older)
    found = json.loads((older / 'config.json').read_text())
    assert (found['version'], found['loss']['alpha']) == (fields.VERSION, 0.7)
    assert stored.flat(found).keys() - {'version', 'begun'} == fields.TABLE.keys()
    train(smoke(epochs=4), older)
    assert epochs_of(older) == ['1', '2', '3', '4']


def test_a_run_that_wrote_the_default_of_its_time_goes_on_with_it(two_epochs, tmp_path):
    folder = shutil.copytree(two_epochs, tmp_path / 'older')
    found = json.loads((folder / 'config.json').read_text())
    found['version'], found['loss']['alpha'] = 4, 0.4
    (folder / 'config.json').write_text(json.dumps(found))
    for _ in range(2):  # the first time writes config.json anew
        plan = resume.plan(folder, smoke(epochs=3), State(epoch=2))
        assert (plan.config.loss.alpha, 'loss.alpha' in plan.changes) == (0.4, False)
        resume.claim(folder, plan)
    found = json.loads((folder / 'config.json').read_text())
    assert (found['version'], found['begun'], found['epochs']) == (fields.VERSION, 4, 3)
    assert workdir.read(folder).config.loss.alpha == 0.4


def test_a_run_of_an_earlier_version_keeps_its_split_of_rows_that_come_twice(tmp_path):
    folder = tmp_path / 'run'
    begun(folder, smoke())
    written = json.loads((folder / 'config.json').read_text())
    del written['data']['copies']
    (folder / 'config.json').write_text(json.dumps(written))
    assert resume.plan(folder, smoke(), State()).config.data.copies == ''
    assert resume.plan(tmp_path / 'new', smoke()).config.data.copies == 'paths'
    own = types.SimpleNamespace(config=resume.plan(folder, smoke(), State()).config)
    assert run_data.other(smoke(), own) == {}
    assert run_data.other(smoke(**{'data.copies': 'x.csv'}), own) == {'data.copies': 'x.csv'}


def test_a_run_of_a_later_version_is_refused_in_one_line(two_epochs, tmp_path):
    folder = shutil.copytree(two_epochs, tmp_path / 'later')
    found = json.loads((folder / 'config.json').read_text())
    for change, message in (({'version': fields.VERSION + 1}, f'of version {fields.VERSION + 1}; '),
                            ({'loss': {**found['loss'], 'gamma': 2}}, 'found loss.gamma; expected'),
                            ({'shards': 2}, 'found shards; expected only')):
        (folder / 'config.json').write_text(json.dumps({**found, **change}))
        for attempt in (lambda: train(smoke(epochs=2), folder), lambda: workdir.read(folder)):
            with pytest.raises(InputError, match=message) as error:
                attempt()
            assert '\n' not in str(error.value)


def test_other_validation_images_are_refused(two_epochs, tmp_path):
    folder = shutil.copytree(two_epochs, tmp_path / 'run')
    data = json.loads((folder / 'data.json').read_text())
    (folder / 'data.json').write_text(json.dumps({**data, 'validation_fingerprint': 'x'}))
    with pytest.raises(InputError, match='data.json: begun with other validation images'):
        train(smoke(epochs=3), folder)
    del data['validation_fingerprint']  # as version 1 wrote it
    (folder / 'data.json').write_text(json.dumps(data))
    train(smoke(epochs=3), folder)
