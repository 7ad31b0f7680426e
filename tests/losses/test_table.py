"""The names of losses, and what they take from class sizes and the sampler."""

import logging

import numpy as np
import pytest

from bsce_tf import class_weights, losses, recipes
from bsce_tf.data.sampler import Sampler, drawn
from bsce_tf.errors import InputError
from bsce_tf.training import build
from tests.losses import reference

COUNTS = np.array([400.0, 150, 60, 33, 21, 5, 2])
Z = np.linspace(-1, 2, 7).astype(np.float32)[None]


def made(**fields):
    """(loss of one example, the loss) that a config gives, which changes `fields`."""
    config = recipes.defaults()
    recipes.change(config, fields)
    loss = build.make_loss(config, COUNTS)
    return float(loss([4], Z)), loss


def test_each_name_is_its_formula():
    z = Z[0].astype(np.float64)
    weights = COUNTS.sum() / (7 * COUNTS)
    effective = (1 - 0.9999) / (1 - 0.9999 ** COUNTS)
    effective *= 7 / effective.sum()
    ce = reference.cross_entropy(4, z)
    reverse = 4 * (1 - np.exp(-ce))
    expected = {
        'ce': ce, 'bce': weights[4] * ce, 'sce': 0.4 * ce + 0.7 * reverse,
        'bsce': 0.4 * weights[4] * ce + 0.7 * reverse,
        'logit_adjustment': reference.many(4, z, COUNTS, alpha=1, beta=0),
        'bsce_many': reference.many(4, z, COUNTS, alpha=1, weighted=True),
        'focal': reference.focal(4, z, 2),
        'cb_focal': effective[4] * reference.focal(4, z, 2),
        'ldam': reference.ldam(4, z, COUNTS, 0.5, 30), 'gce': reference.gce(4, z, 0.7),
        'seesaw': reference.seesaw(4, z, COUNTS, 0.8, 2),
        'nce_rce': reference.nce_rce(4, z, 1, 1, -4), 'elr': ce}
    assert set(expected) == set(losses.NAMES)
    for name, value in expected.items():
        found, loss = made(**{'loss.name': name})
        assert found == pytest.approx(value, rel=1e-5), name
        assert loss.name == name


@pytest.mark.parametrize(('fields', 'expected'), [
    ({'loss.logit_bias': 'auto'}, lambda z: reference.many(4, z, np.ones(7), 0, alpha=0.4)),
    ({'loss.logit_bias': 1}, lambda z: reference.many(4, z, np.ones(7), 0, 1)),
    ({'loss.balance': 'logit_adjustment', 'loss.tau': 0.5, 'loss.reverse_on': 'adjusted'},
     lambda z: reference.many(4, z, COUNTS, 0.5, 0, adjusted=True)),
    ({'loss.name': 'bsce_many', 'loss.logit_bias': 0.0, 'loss.beta': 0.1, 'loss.log_zero': -9.0},
     lambda z: reference.many(4, z, COUNTS, 1, 0, 1, 0.1, -9, weighted=True)),
    ({'loss.name': 'bsce_many', 'loss.reverse_on': 'raw'},
     lambda z: reference.many(4, z, COUNTS, alpha=1)),
    ({'loss.name': 'bsce_many', 'loss.alpha': 0.4},
     lambda z: reference.many(4, z, COUNTS, weighted=True)),
    ({'loss.name': 'bsce', 'loss.reverse_on': 'weighted'},
     lambda z: COUNTS.sum() / (7 * COUNTS[4]) * (
        0.4 * reference.cross_entropy(4, z) + 2.8 * (1 - np.exp(-reference.cross_entropy(4, z))))),
    ({'loss.name': 'bsce_many', 'sampler.gamma': 0.5},
     lambda z: reference.many(4, z, COUNTS ** 0.5, alpha=1, weighted=True)),
    ({'loss.name': 'bsce_many', 'sampler.cap': 100},
     lambda z: reference.many(4, z, np.minimum(COUNTS, 100), alpha=1, weighted=True)),
    ({'loss.name': 'cb_focal', 'sampler.gamma': 1.0}, lambda z: reference.focal(4, z, 2)),
    ({'loss.name': 'seesaw', 'sampler.gamma': 0.5},
     lambda z: reference.seesaw(4, z, COUNTS ** 0.5, 0.8, 2)),
    ({'loss.name': 'ldam', 'sampler.gamma': 0.5, 'loss.ldam_scale': 3.0, 'loss.ldam_margin': 1.0},
     lambda z: reference.ldam(4, z, COUNTS, 1, 3)),
    ({'loss.name': 'focal', 'loss.focal_gamma': 1}, lambda z: reference.focal(4, z, 1)),
    ({'loss.name': 'gce', 'loss.gce_q': 0.5}, lambda z: reference.gce(4, z, 0.5)),
    ({'loss.name': 'nce_rce', 'loss.nce_alpha': 2.0, 'loss.rce_beta': 3.0, 'loss.log_zero': -5.0},
     lambda z: reference.nce_rce(4, z, 2, 3, -5)),
    ({'loss.name': 'seesaw', 'loss.seesaw_p': 0.3, 'loss.seesaw_q': 0.7},
     lambda z: reference.seesaw(4, z, COUNTS, 0.3, 0.7)),
    ({'loss.name': 'ce', 'loss.balance': 'effective', 'loss.effective_beta': 0.9},
     lambda z: class_weights.effective(COUNTS, 0.9)[4] * reference.cross_entropy(4, z)),
    ({'loss.name': 'ce', 'loss.balance': 'weights', 'loss.weight_cap': 1.5},
     lambda z: 1.5 * reference.cross_entropy(4, z)),
    ({'loss.name': 'bce', 'loss.balance': 'none'}, lambda z: reference.cross_entropy(4, z))])
def test_every_field_says_what_it_means(fields, expected):
    fields = {'loss.name': 'sce', **fields}
    assert made(**fields)[0] == pytest.approx(expected(Z[0].astype(np.float64)), rel=1e-5)


@pytest.mark.parametrize(('gamma', 'cap'), [(0.0, 0), (0.5, 0), (1.0, 0), (0.5, 40), (0.0, 40)])
def test_drawn_is_what_the_sampler_draws(gamma, cap):
    labels = np.repeat(np.arange(7), COUNTS.astype(int))
    sampler = Sampler(labels, 7, gamma=gamma, cap=cap)
    expected = drawn(np.append(COUNTS, 0), gamma, cap)
    seen = np.bincount(labels[sampler(np.arange(sampler.epoch_size))], minlength=8)
    assert np.abs(seen - expected).max() <= 1
    assert expected.sum() == pytest.approx(sampler.epoch_size)


def test_the_papers_weights_beside_a_sampler_warn(caplog):
    with caplog.at_level(logging.WARNING):
        plain = made(**{'loss.name': 'bsce'})[0]
        made(**{'loss.name': 'bsce_many', 'sampler.gamma': 1.0})
        made(**{'loss.name': 'sce', 'sampler.gamma': 1.0})
        assert not caplog.records
        assert made(**{'loss.name': 'bsce', 'sampler.gamma': 0.5})[0] == plain
    assert 'balance the classes once more' in caplog.text


@pytest.mark.parametrize(('name', 'settings', 'message'), [
    ('focall', {}, "loss.name: found 'focall'; expected one of ce, bce, sce"),
    ('bsce_many', {}, "loss.balance: found 'logit_adjustment' without class sizes"),
    ('bce', {}, "loss.balance: found 'weights' without class sizes"),
    ('ldam', {}, "loss.name: found 'ldam' without class sizes"),
    ('ce', {'balance': 'weight', 'counts': [1, 2]}, "loss.balance: found 'weight'; expected"),
    ('bsce_many', {'counts': [3, -1]}, 'prior: found -1 for class 1'),
    ('bce', {'counts': [0, 0]}, 'counts: found shape .0,.; expected one count a class'),
    ('cb_focal', {'counts': [3, -1]}, 'class 1 has -1 images'),
    ('cb_focal', {'counts': [3, 1], 'effective_beta': 1.0}, 'loss.effective_beta: found 1.0'),
    ('seesaw', {'counts': [3, -1]}, 'counts: found -1 for class 1')])
def test_bad_input_is_named(name, settings, message):
    with pytest.raises(InputError, match=message) as error:
        losses.make(name, **settings)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', losses.NAMES)
def test_a_class_without_images_is_taken_by_every_loss(name):
    loss = losses.make(name, counts=[4, 0, 2], reduction='none')
    values = np.array(loss(np.array([0, 1, 2]), np.zeros((3, 3), np.float32)))
    assert np.isfinite(values).all()


def test_a_class_without_images_changes_no_weight_of_the_others():
    weights = losses.make('bce', counts=[4, 0, 2]).class_weights
    np.testing.assert_allclose(weights, [6 / (2 * 4), 0, 6 / (2 * 2)], rtol=1e-6)
    effective = losses.make('cb_focal', counts=[2, 0, 1], effective_beta=0.5).class_weights
    np.testing.assert_allclose(effective, [0.8, 0, 1.2], rtol=1e-6)
    reverse = losses.make('bsce_many', counts=[4, 0, 2], alpha=0.0, reduction='none')
    missed = 1 - 1 / (1 + 2 * (9 / 2))  # of three equal logits, with the bias ln(2/9)
    np.testing.assert_allclose(
        reverse(np.array([0, 2]), np.zeros((2, 3), np.float32)),
        0.7 * 4 * missed * np.array([6 / (2 * 4), 6 / (2 * 2)]), rtol=1e-5)
    assert losses.make('bsce_many', counts=[4, 1, 2]).get_config()['reverse_weights'] is None
    assert losses.make('bsce_many', counts=[5, 0, 0]).reverse_weights.tolist() == [1, 0, 0]
    prior = losses.make('logit_adjustment', counts=[4, 0, 2]).prior  # as the rarest
    np.testing.assert_allclose(np.array(prior) / np.sum(prior), [0.5, 0.25, 0.25], rtol=1e-6)


def test_effective_numbers_run_from_none_to_inverse_sizes():
    np.testing.assert_allclose(class_weights.effective([2, 1], 0.5), [0.8, 1.2], rtol=1e-6)
    np.testing.assert_allclose(class_weights.effective(COUNTS, 0.0), np.ones(7))
    inverse = 1 / COUNTS
    np.testing.assert_allclose(class_weights.effective(COUNTS, 1 - 1e-9),
                               7 * inverse / inverse.sum(), rtol=1e-5)
