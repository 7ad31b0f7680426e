"""What an audit of generated images finds, a third of whose labels are wrong, and its page."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.audit import audit, folds, out_of_sample
from bsce_tf.data import prepare
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import networks
from bsce_tf.models import classifier
from bsce_tf.report.report import report
from bsce_tf.review import best
from bsce_tf.training import workdir
from tests.audit.cleaned_run import no_training, settings
from tests.report.report_page import check
from tests.run_files import rows_of


def test_every_image_is_predicted_by_the_network_that_did_not_see_it(cleaned):
    data = prepare.load('generated', noise=0.3)
    labels = data.train.labels
    fold = folds.fold_of(labels, 6, 2, 0)[0]
    with np.load(cleaned / 'round-1' / 'audit' / audit.SCORES) as file:
        scores = file['score']
    for number in range(2):
        run = workdir.read(cleaned / 'round-1' / 'audit' / f'fold-{number}')
        kept, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        assert run.data['fingerprint'] == records.fingerprint(data.train.subset(kept))
        model = classifier.make_model(run.config, 6, 3)
        classifier.load_weights(model, run.weights)
        resized = tf.image.resize(data.train.images[held_out], (26, 26)).numpy()
        logits = model.predict(np.floor(resized + 0.5)[:, 1:25, 1:25],
                               verbose=0).astype(np.float64)
        odds = np.exp(logits)
        own = (odds / odds.sum(axis=1, keepdims=True))[np.arange(len(held_out)), labels[held_out]]
        np.testing.assert_allclose(scores[held_out], own, atol=2e-3)


def test_a_review_shows_the_classes_that_the_networks_predicted(cleaned):
    folder = cleaned / 'round-1' / 'audit'
    train = prepare.load('generated', noise=0.3).train
    classes, probabilities = best.read(workdir.config_of(folder), folder, train)
    assert classes.shape == (144, 4)  # audit.top_k
    with np.load(folder / audit.SCORES) as file:
        scores = file['score']  # the probability of the given label
    rows, places = np.nonzero(classes == train.labels[:, None])
    assert len(rows) > 100
    np.testing.assert_allclose(probabilities[rows, places], scores[rows], rtol=1e-6)
    assert (np.diff(probabilities) <= 0).all()
    others = prepare.load('generated').train  # other labels, so other folds
    assert (best.read(workdir.config_of(folder), folder, others)[0] == -1).all()


def test_the_files_tell_the_same(cleaned):
    folder = cleaned / 'round-1' / 'audit'
    told, listed = json.loads((folder / audit.SUMMARY).read_text()), rows_of(folder / audit.ISSUES)
    train_set = prepare.load('generated', noise=0.3).train
    assert told['images'] == 144
    assert told['listed'] == len(listed) > 0
    scores = [float(row['score']) for row in listed]
    assert scores == sorted(scores)
    with np.load(folder / audit.SCORES) as file:
        assert sorted(row['path'] for row in listed) == sorted(
            train_set.name(i) for i in np.flatnonzero(file['listed']))
    for row in listed:
        place = int(row['path'].removeprefix('image '))  # the source has a validation set
        label = train_set.labels[place]
        assert row['given_label'] == train_set.class_names[label] != row['suggested_label']
        assert int(row['class_size']) == train_set.counts[label]
    for part in ('groups', 'classes'):
        for name in ('images', 'listed', 'dropped', 'relabelled'):
            assert sum(group[name] for group in told[part].values()) == told[name]
    counts = {name: found['images'] for name, found in told['classes'].items()}
    noise = sum(counts[name] * found['noise'] for name, found in told['classes'].items()) / 144
    assert noise == pytest.approx(told['noise'], abs=1e-5)
    low, high = told['noise_interval']
    assert low < noise < high
    assert low < 0.3 < high  # what is true
    quality = told['networks']
    assert not quality['weak']
    assert [network['images'] for network in quality['models']] == [72, 72]
    with np.load(folder / audit.SCORES) as file:
        agrees = ~file['listed'] & (file['score'] > 0.5)
        for row in listed:
            place = int(row['path'].removeprefix('image '))
            assert float(row['wrong']) == pytest.approx(file['wrong'][place], abs=1e-4)
    assert quality['own_error'] < quality['error'] < 1 - agrees.mean() + 0.2
    kept = rows_of(folder / audit.CLEANED)
    assert len(kept) == 144 - told['dropped']
    sizes = np.unique([row['label'] for row in kept], return_counts=True)[1]
    assert len(sizes) == 6
    assert sizes.min() >= 5


def test_another_rule_needs_no_training(cleaned, tmp_path, monkeypatch):
    folder = tmp_path / 'audit'
    shutil.copytree(cleaned / 'round-1' / 'audit', folder)
    before = json.loads((folder / audit.SUMMARY).read_text())
    no_training(monkeypatch)
    monkeypatch.setattr(out_of_sample, '_train', lambda *_: None)
    result = audit.audit(settings(**{'audit.rule': 'relabel',
                                     'audit.min_images_per_class': 2}), folder)
    told = json.loads((folder / audit.SUMMARY).read_text())
    assert told['relabelled'] > 0
    assert told['dropped'] + told['relabelled'] >= before['dropped']
    moved = np.flatnonzero(result.decision.labels != result.train.labels)
    assert (result.decision.labels[moved] == result.suggested[moved]).all()
    assert result.sure[moved].all()
    after = prepare.load('generated', noise=0.3, clean=str(folder / audit.CLEANED)).train
    np.testing.assert_array_equal(after.labels, result.decision.labels[~result.decision.dropped])
    np.testing.assert_array_equal(after.images, result.train.images[~result.decision.dropped])


def test_images_leave_only_below_a_part_of_their_class_mean(cleaned, tmp_path, monkeypatch):
    folder = tmp_path / 'audit'
    shutil.copytree(cleaned / 'round-1' / 'audit', folder)
    monkeypatch.setattr(out_of_sample, '_train', lambda *_: None)
    with np.load(folder / audit.SCORES) as file:
        scores, labels, dropped = file['score'], file['given'], file['dropped']
    ratio = scores / np.array([scores[labels == k].mean() for k in range(6)])[labels]
    below = float(np.median(ratio[dropped]))
    result = audit.audit(settings(**{'audit.threshold_factor': below,
                                     'audit.min_images_per_class': 1}), folder)
    probably = result.quality.wrong >= 0.5
    assert (result.listed & probably & (ratio > below)).any()
    np.testing.assert_array_equal(result.decision.dropped,
                                  result.listed & probably & (ratio < below))


def test_a_run_predicts_the_images_that_it_has_not_seen(cleaned, tmp_path, caplog):
    model = cleaned / 'round-1' / 'audit' / 'fold-0'
    config = settings(**{'audit.model': str(model), 'audit.duplicate_similarity': 0.8})
    result = audit.audit(config, tmp_path / 'by_model')
    assert 'fold-0 was trained on 72 of the 144 images, which get no prediction' in caplog.text
    _check_duplicates(model, result.train, rows_of(tmp_path / 'by_model' / 'near_duplicates.csv'))
    with np.load(cleaned / 'round-1' / 'audit' / audit.SCORES) as file:
        fold = folds.fold_of(file['given'], 6, 2, 0)[0]
        np.testing.assert_allclose(result.scores[fold == 0], file['score'][fold == 0], atol=1e-5)
    assert np.isnan(result.scores[fold == 1]).all()
    assert not (result.listed | result.decision.dropped)[fold == 1].any()
    told = json.loads((tmp_path / 'by_model' / audit.SUMMARY).read_text())
    assert told['not_judged'] == 72
    assert [network['images'] for network in told['networks']['models']] == [72]
    earlier = {('judges' if key == 'networks' else key): value for key, value in told.items()}
    assert audit.describe(earlier) == audit.describe(told)
    for lost in (None, out_of_sample.SEEN):  # an audit of an earlier version has no such file
        if lost:
            (tmp_path / 'by_model' / lost).unlink()
        classes, _ = best.read(config, tmp_path / 'by_model', result.train)
        np.testing.assert_array_equal(classes[:, 0] < 0, fold == 1)
    (tmp_path / 'by_model' / out_of_sample.SEEN).write_bytes(b'damaged')
    assert (best.read(config, tmp_path / 'by_model', result.train)[0] < 0).all()


@pytest.mark.parametrize('fields', [
    {}, {'data.clean': '{}/round-1/audit/cleaned.csv'}, {'seed': 3, 'data.noise': 0.1}])
def test_a_run_on_the_same_images_is_refused(cleaned, tmp_path, fields):
    fields = {name: value.format(cleaned) if name == 'data.clean' else value
              for name, value in fields.items()}
    same = cleaned / 'round-0' / 'train'
    with pytest.raises(InputError, match=r'audit.model: .* was trained on (\d+) of the \1 images; '
                       'expected a run on others'):
        audit.audit(settings(**{'audit.model': str(same), **fields}), tmp_path / 'refused')
    assert not (tmp_path / 'refused' / audit.ISSUES).exists()


def test_a_run_that_does_not_tell_its_images_is_refused(cleaned, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(cleaned / 'round-1' / 'audit' / 'fold-0', run)
    (run / workdir.IMAGES).unlink()
    with pytest.raises(InputError, match='training_images.npy.*expected the hashes'):
        audit.audit(settings(**{'audit.model': str(run)}), tmp_path / 'refused')


def test_networks_that_know_nothing_list_and_drop_nothing(tmp_path, capsys):
    result = audit.audit(settings(epochs=1, batch_size=72), tmp_path)
    assert result.quality.weak
    told = json.loads((tmp_path / audit.SUMMARY).read_text())
    assert told['networks']['weak']
    assert told['networks']['error'] > 0.6
    assert told['noise'] is told['noise_interval'] is told['classes']['bar 0°']['noise'] is None
    assert (told['listed'], told['dropped'], told['relabelled']) == (0, 0, 0)
    assert not rows_of(tmp_path / audit.ISSUES)
    assert len(rows_of(tmp_path / audit.CLEANED)) == 144
    assert 'too weak to tell wrong labels from their own errors' in capsys.readouterr().out
    page = check(report(settings(), tmp_path), charts=False)
    assert 'too weak to tell wrong labels from their own errors' in page.text


def _check_duplicates(model, images, rows):
    """Features of the run, its own crops and a comparison of all pairs tell the same."""
    network = networks.load(model)
    resized = tf.image.resize(images.images, (26, 26)).numpy()
    features = network.body.predict(np.floor(resized + 0.5)[:, 1:25, 1:25], verbose=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features -= features.mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    found = {}
    for row in rows:
        a, b = (int(row[path].removeprefix('image ')) for path in ('path_a', 'path_b'))
        assert a < b
        found[a, b] = float(row['similarity'])
        assert found[a, b] == pytest.approx(features[a] @ features[b], abs=5e-3)
        assert (row['same_label'] == 'yes') == (images.labels[a] == images.labels[b])
    assert found
    cosines = features @ features.T - 2 * np.eye(len(features))
    for a in np.flatnonzero(cosines.max(axis=1) > 0.81):
        b = cosines[a].argmax()  # the nearest of each image
        assert (min(a, b), max(a, b)) in found


def test_a_folder_with_an_audit_alone_becomes_a_page(cleaned):
    folder = cleaned / 'round-1' / 'audit'
    page = check(report(settings(), folder), charts=False)
    told, listed = json.loads((folder / audit.SUMMARY).read_text()), rows_of(folder / audit.ISSUES)
    assert f'{told["listed"]} of 144 training labels are doubtful' in page.text
    low, high = told['noise_interval']
    assert f'Estimated noise {told["noise"]:.1%} ({low:.1%} to {high:.1%})' in page.text
    shown = [attributes for attributes in page.all('li') if 'data-issue' in attributes]
    assert [item['data-issue'] for item in shown] == [row['path'] for row in listed[:100]]
    alts = [attributes['alt'] for attributes in page.all('img')]
    for row in listed[:100]:
        assert any(alt.startswith(f'{row["given_label"]}, probably {row["suggested_label"]}, ')
                   and alt.endswith(f': {row["path"]}') for alt in alts)
    assert any(', example: image ' in alt for alt in alts)
    worst = max(told['classes'].values(), key=lambda of: of['noise'])
    assert f'{worst["noise"]:.4f}' in page.text
    assert f'bsce review --workdir={folder}.' in page.text
    assert f'--config.data.clean={folder / audit.CLEANED}.' in page.text


def test_the_page_says_when_images_are_gone_and_a_damaged_audit_is_refused(cleaned, tmp_path):
    folder = tmp_path / 'audit'
    shutil.copytree(cleaned / 'round-1' / 'audit', folder)
    config = json.loads((folder / 'config.json').read_text())
    config['data']['noise'] = 0.1
    (folder / 'config.json').write_text(json.dumps(config))
    page = check(report(settings(), folder), charts=False)
    assert 'Images cannot be shown: the training images or labels are others' in page.text
    assert not page.all('img')
    assert rows_of(folder / audit.ISSUES)[0]['path'] in page.text
    (folder / audit.SUMMARY).write_text('{"images": 3}')
    with pytest.raises(InputError, match='expected the files that bsce audit wrote'):
        report(settings(), folder)


def test_a_run_and_an_audit_share_a_page(cleaned):
    folders = f'{cleaned / "round-0" / "train"},{cleaned / "round-1" / "audit"}'
    page = check(report(settings(), folders))
    assert {'errors', 'run0', 'audit0', 'config'} <= {
        attributes.get('id') for attributes in page.all('section')}
