"""The model card of an export: what it says is what the run's files say."""

import json
import types

import pytest

from bsce_tf.data import view
from bsce_tf.serving import card
from bsce_tf.training import workdir
from tests.smoke import smoke

ERRORS = {'mean_top1_error': 0.25, 'top1_error': 0.125, 'top5_error': 0.0, 'head_error': 0.1,
          'medium_error': 0.2, 'tail_error': None, 'images': 48}


@pytest.fixture
def run(tmp_path):
    config = smoke(**{'loss.name': 'bsce', 'sampler.gamma': 0.5})
    (tmp_path / 'eval.json').write_text(json.dumps({
        'split': 'test', **ERRORS, 'scales': {'21': ERRORS, '24': ERRORS,
                                              'tta': {**ERRORS, 'mean_top1_error': 0.2}}}))
    data = {'images': 1361, 'channels': 3, 'fingerprint': 'abc', 'counts': [1000, 40, 300, 0, 21]}
    best = {'kind': 'ema', 'stage': 1, 'epoch': 7, 'error': 0.1875}
    return workdir.Run(tmp_path, config, tuple('abcde'), data, tmp_path / 'best.weights.h5', best)


def card_of(*runs, scales=(21, 24), rejects=False):
    views = [types.SimpleNamespace(scales=scales) for _ in runs]
    return card.text('shoes', runs, views, rejects)


def test_it_says_what_the_run_was_trained_on_and_how(run):
    text = card_of(run)
    assert text.startswith('---\nlicense: # fill in')
    assert '\n# shoes\n\nGives the class of a picture, one of 5. One network.' in text
    assert '1,361 training images of 4 classes, of 21 to 1,000 images, median 300.' in text
    assert '1 classes have no training image' in text
    assert 'Loss: `bsce`' in text
    assert 'gamma 0.5' in text
    assert 'stage 2, epoch 7, `ema`, validation error 0.1875' in text
    assert 'The smallest class had 21 training images' in text
    assert 'Fingerprint `abc`' in text


def test_its_errors_are_those_of_the_evaluation(run):
    text = card_of(run)
    assert '| tta   | 0.2000           | 0.1250 | 0.0000 | 0.1000 | 0.2000 | –    |' in text
    assert 'On the test set, 48 images' in text
    assert 'head 300 to 1,000; medium 40 to 40; tail 21 to 21' in text
    assert 'This export averages the scales 21, 24.\n' in text
    assert 'This export serves the scale 24.\n' in card_of(run, scales=(24,))
    assert 'This export serves the scale 30, which was not evaluated.' in card_of(run, scales=(30,))
    assert 'averages the scales 21, 30, which were not evaluated together' in card_of(
        run, scales=(21, 30))
    (run.folder / 'eval.json').unlink()
    text = card_of(run)
    assert 'averages the scales 21, 24.\n\nNot evaluated: `bsce evaluate`' in text


@pytest.mark.parametrize(('audit', 'told'), [
    (None, 'the images of a list, `cleaned.csv`; not estimated'),
    ({'noise': None}, 'an audit could not tell'),
    ({'noise': 0.25, 'noise_interval': [0.2, 0.3]}, 'an audit estimated 25.0% (20.0% to 30.0%)')])
def test_it_says_how_many_labels_are_wrong(run, audit, told):
    folder, verified = run.folder / 'audit', run.folder / 'verify'
    folder.mkdir()
    verified.mkdir()
    (folder / 'cleaned.csv').write_text('image,label,given_label\na.png,a,b\n')
    if audit:
        (folder / 'audit.json').write_text(json.dumps(audit))
    assert 'not estimated by an audit' in card_of(run)
    run.config.data.clean = f'{folder}/cleaned.csv'
    assert told in card_of(run)
    run.config.data.clean = f'{verified},{folder}/cleaned.csv'
    assert told.replace('`cleaned', '`verify, cleaned') in card_of(run)
    (folder / 'cleaned.csv').unlink()
    assert 'it cannot be read any more' in card_of(run)


def test_labels_made_wrong_on_purpose_are_told(run):
    run.config.data.noise = 0.3
    assert '30% of the training labels were made wrong on purpose' in card_of(run)


def test_networks_that_vote_each_have_their_parts(run):
    text = card_of(run, run)
    assert '2 networks vote' in text
    assert text.count('## Errors of network') == text.count('## Data of network') == 2


def test_whether_unknown_products_are_told(run):
    assert 'names a class for every picture, also' in card_of(run)
    assert 'Only the signature `neighbours`' in card_of(run, rejects=True)


def test_it_lies_beside_the_saved_model(single, runs):
    run = workdir.read(runs[0])
    text = (single / card.NAME).read_text(encoding='utf-8')
    assert text == card.text('bsce_tf', [run], [view.of(run.config.image, run.data['channels'])])
