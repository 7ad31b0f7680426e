import csv
import json
import shutil

import numpy as np
import pytest

from bsce_tf.data import prepare
from bsce_tf.data.sources import generated
from bsce_tf.data.view import View
from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.models import classifier, network
from bsce_tf.training import workdir
from tests.evaluation import reference

LABELS = generated.load().test.labels
SCALES = {'a': (24, 28), 'b': (21, 25, 23)}
ERRORS = ('mean_top1_error', 'top1_error', 'top5_error', 'head_error', 'medium_error',
          'tail_error', 'images', 'classes_without_images')


def wanted(values):
    return reference.errors(np.argsort(-values, axis=1, kind='stable'), LABELS, [24] * 6)


def assert_errors(found, expected):
    assert {key: found[key] for key in ERRORS} == pytest.approx(expected)


def assert_run(result, folder, scales, eval_scale):
    assert_errors(result, wanted(reference.logits(folder, (eval_scale,))))
    assert list(result['scales']) == [*map(str, scales), 'tta']
    for scale in scales:
        assert_errors(result['scales'][str(scale)], wanted(reference.logits(folder, (scale,))))
    assert_errors(result['scales']['tta'], wanted(reference.logits(folder, scales)))


def probabilities(runs):
    return np.stack([reference.softmax(reference.logits(folder, SCALES[folder.name]))
                     for folder in runs])


def test_averaged_embeddings_give_the_logits_of_averaged_features():
    model = classifier.build('small_resnet', 5, image_size=24, embedding=8, dropout=0.3)
    for variable in model.get_layer('embedding_bn').weights:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    crops = np.random.default_rng(1).integers(0, 255, (3, 24, 24, 3)).astype('float32')
    logits = []
    for at, width in (('backbone', 64), ('embedding', 8)):
        _, body, head, _ = network.of(model, View(24, (24,)), at)
        assert body.output.shape == (None, width)
        logits.append(head(np.mean(body(crops), axis=0, keepdims=True)))
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)


@pytest.fixture
def copies(runs, tmp_path):
    return [shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns('eval*'))
            for folder in runs]


def test_one_run_at_every_scale(runs, config):
    config = config.copy_and_resolve_references()
    config.batch_size = 500  # more than there are images
    result = evaluate(config, runs[0])
    assert_run(result, runs[0], SCALES['a'], 26)
    assert 0 < result['mean_top1_error'] < 0.8  # it has learnt and errs, so that errors tell
    assert (result['split'], result['kind'], result['eval_scale']) == ('test', 'raw', 26)
    assert json.loads((runs[0] / 'eval.json').read_text()) == result
    with open(runs[0] / 'eval.csv') as file:
        rows = list(csv.DictReader(file))
    assert [row['scale'] for row in rows] == ['24', '28', '26', 'tta']
    assert float(rows[2]['tail_error']) == result['tail_error']
    assert f'{result["scales"]["tta"]["head_error"]:.4f}' in (
        runs[0] / 'eval.md').read_text().splitlines()[-1]


@pytest.mark.parametrize(('batch_size', 'replicas'), [(11, 1), (7, 2)])
def test_two_unlike_runs_vote(runs, config, batch_size, replicas, tmp_path):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({
        'batch_size': batch_size, 'evaluate.output': str(tmp_path / 'out' / 'both'),
        'strategy': 'mirrored' if replicas > 1 else 'one', 'replicas': replicas})
    result = evaluate(config, ','.join(map(str, runs)))
    found = probabilities(runs)
    assert_errors(result['vote'], reference.errors(
        reference.vote_order(found), LABELS, [24] * 6))
    assert_errors(result['mean'], wanted(found.mean(0)))
    assert [model['folder'] for model in result['models']] == [str(folder) for folder in runs]
    for model, folder in zip(result['models'], runs, strict=True):
        assert_errors(model, wanted(reference.logits(folder, SCALES[folder.name])))
    assert_run(json.loads((runs[1] / 'eval.json').read_text()), runs[1], SCALES['b'], 25)
    assert json.loads((tmp_path / 'out' / 'both' / 'ensemble.json').read_text()) == result
    with open(tmp_path / 'out' / 'both' / 'ensemble.csv') as file:
        assert [row['model'] for row in csv.DictReader(file)] == [
            *map(str, runs), 'top-1 vote of 2', 'mean probability of 2']
    assert not (runs[0] / 'ensemble.json').exists()


def test_other_scales_and_other_weights(copies, config):
    folder = copies[0]
    other = shutil.copytree(folder, folder.parent / 'other')
    for file in (other / 'best.weights.h5', folder / 'swa.weights.h5'):
        shutil.copy(copies[1] / 'best.weights.h5', file)  # the same network at another size
    entry = json.loads((folder / 'best.json').read_text())['raw']
    (folder / 'best.json').write_text(json.dumps({'raw': entry, 'swa': entry}))
    config = config.copy_and_resolve_references()
    config.tta.scales = (30, 25, 30)
    result = evaluate(config, folder)
    assert_run(result, folder, (30, 25), 26)
    assert list(result['weights']) == ['raw', 'swa']
    assert result['weights']['raw'] == {key: result[key] for key in result['weights']['raw']}
    assert_errors(result['weights']['swa'], wanted(reference.logits(other, (26,))))
    assert result['weights']['swa'] != result['weights']['raw']
    (folder / 'swa.weights.h5').unlink()
    with pytest.raises(InputError, match='has no swa.weights.h5; expected the folder'):
        evaluate(config, folder)


def test_files_give_what_the_same_images_in_memory_give(runs, on_files):
    result = evaluate(on_files, runs[0])
    assert_run(result, runs[0], SCALES['a'], 26)


def paths_of(path):
    with open(path, newline='', encoding='utf-8') as file:
        return [row['path'] for row in csv.DictReader(file)]


def test_a_bad_image_is_left_out_or_stops(copies, pictures, on_files, tmp_path):
    shutil.copytree(pictures, tmp_path / 'broken')
    bad = [3, 20, 21, 22, 23, 24]  # 20 to 24 make one batch
    for i in bad:
        (tmp_path / 'broken' / 'test' / f'{i:02d}.png').write_bytes(b'\x89PNG broken')
    on_files.data.root = str(tmp_path / 'broken')
    on_files.batch_size = 5
    with pytest.raises(InputError, match=r'test/(03|2[0-4]).png') as error:
        evaluate(on_files, copies[0])
    assert '\n' not in str(error.value)
    assert not (copies[0] / 'eval.json').exists()
    on_files.data.on_error, on_files.data.max_bad_fraction = 'skip', 0.2
    result = evaluate(on_files, copies[0])
    kept = np.setdiff1d(np.arange(48), bad)
    order = np.argsort(-reference.logits(copies[0], SCALES['a']), axis=1)
    expected = reference.errors(order[kept], LABELS[kept], [24] * 6)
    assert_errors(result['scales']['tta'], expected)
    assert result['images'] == 42
    listed = [f'test/{i:02d}.png' for i in bad]
    assert paths_of(copies[0] / 'eval_bad_images.csv') == listed
    assert not (copies[0] / 'bad_images.csv').exists()  # that is of the run's own images
    assert result['other_data']['data.test'] == on_files.data.test
    assert json.loads((copies[0] / 'eval.json').read_text()) == result
    own = json.loads((copies[0] / 'config.json').read_text())
    (copies[0] / 'config.json').write_text(json.dumps({**own, 'data': on_files.data.to_dict()}))
    on_files.data.cache = str(tmp_path / 'cache')  # which are the same images
    assert evaluate(on_files, copies[0]) == {
        key: value for key, value in result.items() if key != 'other_data'}
    assert paths_of(copies[0] / 'bad_images.csv') == listed
    assert not (copies[0] / 'eval_bad_images.csv').exists()


def test_classes_and_folders_must_fit(copies, config, on_files, pictures, tmp_path):
    a, b = copies
    names = json.loads((a / 'classes.json').read_text())
    names[2:4] = names[3], names[2]
    workdir.label_map.save(b / 'classes.json', names)
    with pytest.raises(InputError, match=r"/b: class 2 is 'bar 90°', and 'bar 60°' in .*/a"):
        evaluate(config, f'{a},{b}')
    workdir.label_map.save(b / 'classes.json', json.loads((a / 'classes.json').read_text())[:5])
    with pytest.raises(InputError, match='/b: has 5 classes, and .*/a 6'):
        evaluate(config, f'{a},{b}')
    (tmp_path / 'names.json').write_text(json.dumps(names))
    on_files.data.classes = str(tmp_path / 'names.json')
    with pytest.raises(InputError, match="class 2 is 'bar 90°'; expected 'bar 60°'"):
        evaluate(on_files, a)
    with pytest.raises(InputError, match='comes twice'):
        evaluate(config, f'{a},{a}/')
    config = config.copy_and_resolve_references()
    config.tta.scales = (22,)
    with pytest.raises(InputError, match='tta.scales: found 22; expected at least image.size'):
        evaluate(config, a)


def test_nothing_to_count_or_nowhere_to_write(copies, pictures, on_files, tmp_path):
    both = ','.join(map(str, copies))
    on_files.evaluate.output = str(copies[0] / 'config.json')
    with pytest.raises(InputError, match=r'evaluate.output: .*config.json is a file'):
        evaluate(on_files, both)
    (tmp_path / 'train').symlink_to(pictures / 'train')
    on_files.data.root, on_files.data.on_error = str(tmp_path), 'skip'  # there is no test/
    on_files.data.max_bad_fraction = 1.0
    with pytest.raises(RunError, match=r'test.csv: none of the 48 images is good'):
        evaluate(on_files, copies[0])


def test_a_validation_set_that_a_run_may_have_seen_is_named(runs, on_files, caplog):
    on_files.data.test = ''
    result = evaluate(on_files, runs[0])
    assert result['split'] == 'validation'
    assert result['images'] == len(prepare.load(**on_files.data, seed=0).validation) < 18
    assert 'trained on other images' in caplog.text
