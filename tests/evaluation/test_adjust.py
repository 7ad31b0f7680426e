"""Logit adjustment after training, against NumPy: in evaluation, predictions and exports."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data import bad_images, prepare
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, evaluate, networks, predict, predictors
from bsce_tf.serving import export
from bsce_tf.training import strategy, workdir
from tests.serving import exported


@pytest.fixture(scope='module')
def skewed(runs, tmp_path_factory):
    """Copy of the first run whose record says that class sizes fall by half from class to class."""
    folder = tmp_path_factory.mktemp('skewed') / 'run'
    shutil.copytree(runs[0], folder)
    data = json.loads((folder / workdir.DATA).read_text())
    data['counts'] = [int(2.0 ** (12 - k)) for k in range(len(data['counts']))]
    (folder / workdir.DATA).write_text(json.dumps(data))
    return folder


def logits_of(folder, examples):
    """float64 `[n, K]`, unadjusted, and log π by NumPy."""
    network = networks.load(folder)
    crops = np.stack([network.view.centre(image) for image in examples.images])
    logits = network.outputs(crops)[1].numpy().astype(np.float64)
    counts = np.array(json.loads((folder / workdir.DATA).read_text())['counts'])
    return logits, np.log(counts / counts.sum())


def mean_error(logits, labels):
    wrong = logits.argmax(-1) != labels
    return np.mean([wrong[labels == k].mean() for k in np.unique(labels)])


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    with config.ignore_type():
        config.update_from_flattened_dict(fields)
    return config


def test_errors_and_answers_are_those_of_logits_without_the_prior(skewed, config):
    test = prepare.load(**config.data, seed=config.seed).test
    logits, log_prior = logits_of(skewed, test)
    found = evaluate.evaluate(changed(config, **{'adjust.tau': 1.5}), skewed)
    assert found['adjust_tau'] == 1.5
    assert found['scales']['tta']['mean_top1_error'] == pytest.approx(
        mean_error(logits - 1.5 * log_prior, test.labels))
    assert mean_error(logits, test.labels) != mean_error(logits - 1.5 * log_prior, test.labels)

    run = workdir.read(skewed)
    runs = predictors.Runs([run], (), 3, strategy.of_this_machine('one', 0), [1.5])
    (answers,) = runs.answers(test, len(test), bad_images.BadImages())
    adjusted = logits - 1.5 * log_prior
    p = np.exp(adjusted - adjusted.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    np.testing.assert_allclose(answers.scores, -np.sort(-p, -1)[:, :3], rtol=1e-4)


def test_auto_has_the_smallest_validation_error(skewed, config):
    validation = prepare.load(**config.data, seed=config.seed).validation
    logits, log_prior = logits_of(skewed, validation)
    errors = [mean_error(logits - tau * log_prior, validation.labels) for tau in adjust.GRID]
    config = changed(config, **{'adjust.tau': 'auto'})
    devices = strategy.of_this_machine('one', 0)
    (found,) = adjust.taus(config, [workdir.read(skewed)], devices)
    assert found == adjust.GRID[int(np.argmin(errors))]
    twice = [workdir.read(skewed)] * 2
    assert adjust.taus(changed(config, **{'adjust.tau': 2}), twice, devices) == [2.0, 2.0]


def test_logits_that_the_loss_has_adjusted_are_told(skewed, config, caplog):
    run = workdir.read(skewed)
    for name, told in (('ce', False), ('bsce_many', True)):
        loss = changed(run.config, **{'loss.name': name})
        adjust.taus(changed(config, **{'adjust.tau': 1.0}), [run._replace(config=loss)], None)
        assert ('expected 0, as they are adjusted twice' in caplog.text) == told
        adjust.taus(changed(config, **{'adjust.tau': 0.0}), [run._replace(config=loss)], None)
    assert caplog.text.count('adjust.tau') == 1


def test_an_export_holds_it_in_its_graph(skewed, config, tmp_path):
    images = prepare.load(**config.data, seed=config.seed).test.images[:5]
    logits, log_prior = logits_of(skewed, prepare.load(**config.data, seed=config.seed).test)
    for freeze in (False, True):
        with exported.unchecked():
            folder = export.export(changed(config, **{
                'adjust.tau': 0.5, 'export.folder': str(tmp_path), 'export.freeze': freeze}),
                skewed)
        signature = tf.saved_model.load(str(folder)).signatures['serving_default']
        png = [tf.io.encode_png(image).numpy() for image in images]
        adjusted = logits[:5] - 0.5 * log_prior
        p = np.exp(adjusted - adjusted.max(-1, keepdims=True))
        expected = (p / p.sum(-1, keepdims=True)).max(-1)
        np.testing.assert_allclose(signature(image_bytes=tf.constant(png))['scores'][:, 0],
                                   expected, rtol=1e-4)
        record = json.loads((folder / 'assets' / 'export.json').read_text())
        assert record['adjust_tau'] == [0.5]


def test_what_cannot_be_adjusted_is_named(skewed, config, tmp_path):
    with pytest.raises(InputError, match='adjust.tau: found 1.0 with predict.model'):
        predict.predict(changed(config, **{'adjust.tau': 1, 'predict.model': 'a'}), tmp_path)
    run = workdir.read(skewed)
    empty = run._replace(data={**run.data, 'counts': [0, *run.data['counts'][1:]]})
    with pytest.raises(InputError, match='adjust.tau: .* prior: found 0 for class 0'):
        adjust.log_prior(empty)
