import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.evaluation import counts, ensemble, networks
from tests.evaluation import reference


def test_features_are_averaged_not_probabilities(runs):
    network = networks.load(runs[0])
    rng = np.random.default_rng(0)
    features = rng.normal(0, 3, (9, 4, network.head.input_shape[-1])).astype(np.float32)
    kernel, bias = (w.astype(np.float64) for w in network.head.get_weights())
    wanted = features.astype(np.float64).mean(1) @ kernel + bias
    found = network.logits(features).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    averaged = reference.softmax(features.astype(np.float64) @ kernel + bias).mean(1)
    assert np.abs(reference.softmax(found) - averaged).max() > 0.05


def test_a_network_has_the_precision_of_its_run(runs, tmp_path):
    folder = shutil.copytree(runs[0], tmp_path / 'half')
    config = json.loads((folder / 'config.json').read_text())
    config['precision'] = 'mixed_bfloat16'
    (folder / 'config.json').write_text(json.dumps(config))
    network = networks.load(folder)
    assert network.body.output.dtype == 'bfloat16'
    assert keras.mixed_precision.dtype_policy().name == 'float32'  # as before
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 24, 24, 3), np.uint8)
    _, logits = network.outputs(images)
    assert logits.dtype == 'float32'
    whole = networks.load(runs[0])
    np.testing.assert_allclose(logits, whole.outputs(images)[1], atol=0.3)


@pytest.mark.parametrize('models', [1, 2, 3, 6])
def test_vote_against_numpy_with_ties(models):
    rng = np.random.default_rng(models)
    p = rng.integers(1, 5, (models, 300, 4)).astype(np.float64)
    p[:, :100] += rng.uniform(0, 1e-4, (models, 100, 4))  # nearly equal, but not quite
    p = (p / p.sum(-1, keepdims=True)).astype(np.float32)
    first = p.argmax(-1)
    counted = np.stack([(first == k).sum(0) for k in range(4)], -1)
    np.testing.assert_array_equal(ensemble.votes(p), counted)
    if models > 1:
        assert (np.sort(counted, -1)[:, -1] == np.sort(counted, -1)[:, -2]).sum() > 20  # ties
    ranking = ensemble.ranking(tf.constant(p))
    order = np.argsort(-ranking.numpy(), axis=-1, kind='stable')
    np.testing.assert_array_equal(order, reference.vote_order(p.astype(np.float64)))


def test_a_tie_of_votes_goes_to_the_higher_mean():
    p = np.array([[[0.5, 0.4, 0.1]], [[0.0, 0.6, 0.4]], [[0.35, 0.25, 0.4]]])
    order = np.argsort(-ensemble.ranking(p).numpy()[0])
    assert order.tolist() == [1, 2, 0]  # means 0.417, 0.3 and 0.283
    assert ensemble.votes(p).numpy()[0].tolist() == [1, 1, 1]


def test_a_vote_outweighs_any_mean():
    p = np.array([[[0.51, 0.49]], [[0.51, 0.49]], [[0.0, 1.0]]])
    assert np.argsort(-ensemble.ranking(p).numpy()[0]).tolist() == [0, 1]  # means 0.34 and 0.66


def test_hits_and_counts():
    logits = np.array([[3, 1, 2, 0, -1, -2, -3], [1, 1, 0, 0, 0, 0, 0], [np.nan] * 7,
                       [0, 0, 0, 0, 0, 0, 9]], np.float32)
    found = counts.hits(tf.constant(logits), tf.constant([5, 1, 0, 6])).numpy()
    assert found.tolist() == [[False, False], [False, True], [False, False], [True, True]]
    assert counts.hits(tf.constant(logits[:, :3]), [2, 0, 0, 2]).numpy()[:, 1].tolist() == [
        True, True, False, True]  # fewer than five classes
    tally = counts.Counts(['x'], 7)
    tally.update(found[:, None], np.array([5, 1, 0, 6]), np.array([1.0, 1.0, 0.0, 1.0]))
    tally.update(found[3:, None], np.array([6]), np.array([1.0]))
    errors = tally.errors([1] * 6 + [9])['x']
    assert errors['mean_top1_error'] == pytest.approx(2 / 3)
    assert errors['top1_error'] == pytest.approx(2 / 4)
    assert errors['top5_error'] == pytest.approx(1 / 4)
    assert (errors['images'], errors['classes_without_images']) == (4, 4)
    assert errors['tail_error'] == 1
