import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import demo
from bsce_tf.data import pipeline, prepare
from bsce_tf.data.view import View
from bsce_tf.errors import InputError, PreemptedError, RunError
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.models import classifier
from bsce_tf.training import checkpoint, workdir
from bsce_tf.training.loop import Loop
from bsce_tf.training.train import train
from tests.run_files import assert_same, rows_of, state_of
from tests.smoke import smoke


@pytest.fixture(scope='module')
def two_epochs(tmp_path_factory):
    """The folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp('two') / 'run'
    train(smoke(epochs=2), folder)
    return folder


@pytest.fixture
def finished(two_epochs, tmp_path):
    """(its config, a copy of it), which the test may change."""
    return smoke(epochs=2), shutil.copytree(two_epochs, tmp_path / 'run')


def test_a_run_leaves_what_the_readme_lists(finished):
    config, folder = finished
    result = evaluate(config, folder)
    assert {p.name for p in folder.iterdir()} == {
        'config.json', 'classes.json', 'data.json', 'metrics.csv', 'best.json', 'best.weights.h5',
        'eval.json', 'eval.md', 'eval.csv', 'tensorboard', 'checkpoints', 'training_images.npy'}
    assert json.loads((folder / 'config.json').read_text())['loss']['alpha'] == 'by_name'
    rows = rows_of(folder)
    assert [row['epoch'] for row in rows] == ['1', '2']
    assert all(np.isfinite(float(row['val_mean_top1_error'])) for row in rows)
    assert json.loads((folder / 'eval.json').read_text()) == result
    assert (result['split'], result['images']) == ('test', 48)


@pytest.mark.parametrize('loss', ['bce', 'sce'])  # the demo's test has the other two
def test_it_learns_with_every_loss(tmp_path, loss):
    config = smoke(epochs=8, batch_size=16)
    config.loss.name = loss
    train(config, tmp_path / 'run')
    assert evaluate(config, tmp_path / 'run')['mean_top1_error'] < 0.3  # 0.83 by chance


def test_two_replicas_train_as_one(tmp_path):
    config = smoke(epochs=2, strategy='one')
    train(config, tmp_path / 'one')
    config.update(strategy='mirrored', replicas=2)
    train(config, tmp_path / 'two')
    for a, b in zip(rows_of(tmp_path / 'one'), rows_of(tmp_path / 'two'), strict=True):
        for key in a:
            assert float(a[key]) == pytest.approx(float(b[key]), rel=1e-4), key
    assert_same(state_of(tmp_path / 'one'), state_of(tmp_path / 'two'), rtol=2e-3, atol=2e-5)


def test_a_finished_run_is_left_as_it_is(finished):
    config, folder = finished
    before = (folder / 'metrics.csv').stat().st_mtime_ns
    train(config, folder)
    assert (folder / 'metrics.csv').stat().st_mtime_ns == before


def test_a_folder_of_something_else_is_refused(finished, tmp_path):
    config, folder = finished
    config.loss.alpha = 0.5
    with pytest.raises(InputError, match="another run: loss.alpha is 'by_name' there and 0.5"):
        train(config, folder)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.tex').write_text('x')
    with pytest.raises(InputError, match='not empty'):
        train(config, tmp_path / 'mine')
    assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['thesis.tex']
    with pytest.raises(InputError, match='is a file'):
        train(config, tmp_path / 'mine' / 'thesis.tex')
    with pytest.raises(InputError, match='no config.json'):
        evaluate(config, tmp_path / 'mine')


def test_damaged_files_are_named(finished):
    config, folder = finished
    (folder / 'best.weights.h5').write_bytes(b'not hdf5')
    with pytest.raises(InputError, match='best.weights.h5'):
        evaluate(config, folder)
    for path in (folder / 'checkpoints').iterdir():
        path.write_bytes(b'not hdf5')
    with pytest.raises(InputError, match='step-0000000004.h5: damaged'):
        train(config, folder)
    (folder / 'config.json').write_text('{')
    with pytest.raises(InputError, match='config.json'):
        train(config, folder)


def test_weights_of_another_class_count_start_a_run_but_do_not_end_one(tmp_path, caplog):
    model_file = tmp_path / 'other.weights.h5'
    classifier.build('small_resnet', 9, image_size=24).save_weights(model_file)
    config = smoke(**{'model.backbone': 'small_resnet'})
    config.model.weights = str(model_file)
    train(config, tmp_path / 'run')
    assert 'a head of 9 classes' in caplog.text
    shutil.copy(model_file, tmp_path / 'run' / 'best.weights.h5')
    model_file.unlink()  # what a run began with is not needed any more
    with pytest.raises(InputError, match='best.weights.h5.*6 classes'):
        evaluate(config, tmp_path / 'run')
    with pytest.raises(InputError, match='other.weights.h5'):
        train(config, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()  # so that the right file can be given next


@pytest.mark.parametrize(('statistics', 'estimated'), [
    ('auto', True), ('moving', False), ('estimated', True)])
def test_fine_tuned_weights_have_the_statistics_of_the_training_images(
        tmp_path, statistics, estimated):
    model_file = tmp_path / 'start.weights.h5'
    classifier.build('small_resnet', 6, image_size=24).save_weights(model_file)
    config = smoke(**{'model.backbone': 'small_resnet', 'model.weights': str(model_file),
                      'augment.flip': False,
                      'image.scales': (24,), 'averaging.statistics': statistics})
    data = prepare.load(**config.data, seed=config.seed)
    train(config, tmp_path / 'run', data)
    model = classifier.build('small_resnet', 6, tmp_path / 'run' / 'best.weights.h5',
                             image_size=24)
    backbone = model.get_layer('small_resnet')
    norm, kernel = backbone.get_layer('stem_bn'), backbone.get_layer('stem_conv').kernel
    # Every image once in an epoch; crops of 24 from 24 px take all of it, but for the resize.
    images = np.concatenate([batch.crops[0][:, 0] for batch in pipeline.evaluation(
        data.train, [View(24, (24,))], 72)])
    outputs = tf.nn.conv2d((images / 255 - 0.5) / 0.5, tf.cast(kernel, tf.float64), 2, 'SAME')
    same = np.allclose(norm.moving_mean, np.mean(outputs, (0, 1, 2)), rtol=0.02, atol=1e-3)
    assert same == estimated


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_images(tmp_path):
    config = smoke(epochs=3)
    config.optimizer.learning_rate = 1e38
    with pytest.raises(RunError, match=r'loss: found (nan|inf) at step 2 .*learning rate 1e\+38'):
        train(config, tmp_path / 'run')
    names = (tmp_path / 'run' / 'not_finite.txt').read_text().splitlines()
    assert len(set(names)) == config.batch_size
    assert all(name.startswith('image ') for name in names)
    # what was saved last is still good
    assert checkpoint.load(tmp_path / 'run' / 'checkpoints')[1].total == 0


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    config = smoke(epochs=3)
    config.optimizer.learning_rate = 1e38
    config.loss.alpha = 1e3  # so the first update is infinite in float32, and its loss is not
    config.checkpoint.steps = 1
    with pytest.raises(RunError, match='weights: found .* not finite at step 1;'):
        train(config, tmp_path / 'run')
    _, state, arrays = checkpoint.load(tmp_path / 'run' / 'checkpoints')
    assert state.total == 0
    assert all(np.isfinite(array).all() for array in arrays)


def test_a_batch_that_does_not_fit_leaves_no_trace(tmp_path):
    with pytest.raises(InputError, match='batch_size: found 7; expected a multiple of the 2'):
        train(smoke(batch_size=7, strategy='mirrored', replicas=2), tmp_path / 'run')
    with pytest.raises(InputError, match='jit_compile: found True with several replicas'):
        train(smoke(jit_compile=True, strategy='mirrored', replicas=2), tmp_path / 'run')
    with pytest.raises(InputError, match='loss.name: found elr with 2 replicas; expected one'):
        train(smoke(strategy='mirrored', replicas=2, **{'loss.name': 'elr'}), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_the_weights_that_averaging_asks_for(finished):
    config, folder = finished
    assert workdir.read(folder).weights == folder / 'best.weights.h5'
    shutil.copy(folder / 'best.weights.h5', folder / 'swa.weights.h5')
    best = json.loads((folder / 'best.json').read_text())
    best['swa'] = {**best['raw'], 'error': best['raw']['error'] - 0.1}
    (folder / 'best.json').write_text(json.dumps(best))
    for select, wanted in (('raw', 'best'), ('swa', 'swa'), ('best', 'swa')):
        config.averaging.select = select
        (folder / 'config.json').write_text(json.dumps(config.to_dict()))
        assert workdir.read(folder).weights == folder / f'{wanted}.weights.h5'
    config.averaging.select = 'ema'
    (folder / 'config.json').write_text(json.dumps(config.to_dict()))
    with pytest.raises(InputError, match="averaging.select is 'ema'; expected one of raw, swa"):
        workdir.read(folder)


def test_a_workdir_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='--workdir: .*file.run: Not a directory'):
        train(smoke(), tmp_path / 'file' / 'run')


@pytest.mark.parametrize('precision', ['mixed_float16', 'mixed_bfloat16'])
def test_mixed_precision_stays_finite(tmp_path, precision):
    train(smoke(precision=precision), tmp_path)
    assert np.isfinite(float(rows_of(tmp_path)[0]['loss']))


def test_the_demo_ends_with_a_table_and_can_be_repeated(tmp_path, capsys):
    demo.run(smoke(), tmp_path)
    first = capsys.readouterr().out
    table = (tmp_path / 'table.md').read_text()
    assert table in first
    assert [line.split()[1] for line in table.splitlines()] == ['loss', '---', 'ce', 'bsce']
    shutil.rmtree(tmp_path / 'bsce')
    demo.run(smoke(), tmp_path)
    assert (tmp_path / 'table.md').read_text() == table


def test_other_training_data_are_refused_and_nothing_is_overwritten(finished, tmp_path):
    config, folder = finished
    data = prepare.load(**config.data, seed=config.seed)
    names = list(data.train.class_names)
    before = {path.name: path.read_bytes() for path in folder.glob('*.json')}
    shutil.copytree(folder, tmp_path / 'stopped')
    for name in checkpoint.names(tmp_path / 'stopped' / 'checkpoints')[1:]:
        (tmp_path / 'stopped' / 'checkpoints' / name).unlink()
    labels = data.train.labels.copy()
    labels[0] = (labels[0] + 1) % len(names)
    for other in (data.train.subset(np.arange(len(data.train)), labels),
                  data.train.subset(np.arange(len(data.train) - 1))):
        with pytest.raises(InputError, match=rf'data.json: begun with other .* {len(other)} of '):
            train(config, tmp_path / 'stopped', data._replace(train=other))
    after = {path.name: path.read_bytes() for path in (tmp_path / 'stopped').glob('*.json')}
    assert after == before


def test_watched_sets_are_noted_and_change_nothing(tmp_path):
    config = smoke(epochs=1)
    config.averaging.ema, config.averaging.swa_epochs = 0.9, 1
    data = prepare.load(**config.data, seed=config.seed)
    train(config, tmp_path / 'plain')
    train(config, tmp_path / 'watched', watch={'again': data.validation, 'test': data.test})
    plain, watched = (rows_of(tmp_path / name)[0] for name in ('plain', 'watched'))
    assert {name: watched[name] for name in plain} == pytest.approx(plain)
    for kind in ('', '_ema', '_swa'):
        assert watched[f'again{kind}_mean_top1_error'] == watched[f'val{kind}_mean_top1_error']
    found = evaluate(config, tmp_path / 'watched')
    assert float(watched['test_mean_top1_error']) == pytest.approx(found['mean_top1_error'])


def test_sigterm_after_the_last_step_is_not_lost(tmp_path, monkeypatch):
    config = smoke(epochs=1)
    original = Loop._keep_best

    def told_to_stop(*arguments):
        original(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Loop, '_keep_best', told_to_stop)
    with pytest.raises(PreemptedError, match='all epochs are done and saved'):
        train(config, tmp_path)
    train(config, tmp_path)
    assert len(rows_of(tmp_path)) == 1


def test_sums_of_a_scaled_loss_may_overflow(tmp_path, monkeypatch):
    config = smoke(epochs=1)
    config.optimizer.accumulate = 2
    save = Loop.save

    def overflown(loop):
        if loop.state.epoch:  # after the last step, which would use them
            loop.trainer.sums[0].assign(loop.trainer.sums[0] + np.inf)
        save(loop)

    monkeypatch.setattr(Loop, 'save', overflown)
    train(config, tmp_path)
    assert any(np.isinf(array).any() for array in checkpoint.load(tmp_path / 'checkpoints')[2])
