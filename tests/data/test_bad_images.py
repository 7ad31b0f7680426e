"""Bad files in a run: another of the class, counted and named; or a stop with one clear line."""

import csv
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.data import pipeline
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.data.sampler import Sampler
from bsce_tf.data.view import View
from bsce_tf.errors import InputError, RunError
from tests.data.pictures import encoded, picture

GOOD = encoded(picture(64, 64))
BAD = {
    'empty.jpg': b'',
    'cut.jpg': GOOD[:len(GOOD) // 2],
    'cut_at_end.jpg': GOOD[:-2],
    'page.jpg': b'<!DOCTYPE html><html><body>404</body></html>',
    'bomb.jpg': encoded(picture(300, 300)),
    'cut.png': encoded(picture(64, 64), 'PNG')[:900],
    'missing.jpg': None,
    'folder.jpg': None,
}
LIMIT = 80 * 80


@pytest.fixture
def examples(tmp_path):
    """Class a: 8 bad and 8 good images; class b: 8 good ones, in other colours."""
    (tmp_path / 'folder.jpg').mkdir()
    for name, data in BAD.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    names = list(BAD)
    for i in range(16):
        names.append(f'good{i}.jpg')
        (tmp_path / names[-1]).write_bytes(encoded(picture(64, 64, seed=i // 8)))
    return Examples([0] * 16 + [1] * 8, 'ab', paths=np.array(names, 'S'), root=str(tmp_path))


def batches(examples, bad, **options):
    return pipeline.training(examples, Sampler(examples.labels, 2, seed=1),
                             View(32, (36,), 'multi_scale'),
                             **({'batch_size': 8, 'bad': bad} | options))


def evaluation(examples, bad):
    return list(pipeline.evaluation(examples, [View(32, (36,))], 10, bad))


def skipping(tmp_path, **options):
    return BadImages('skip', **({'max_fraction': 0.5, 'max_pixels': LIMIT,
                                 'report': tmp_path / 'bad_images.csv'} | options))


@pytest.mark.parametrize('packed', [False, True])
def test_skip_keeps_classes_and_names_every_file(examples, tmp_path, packed, caplog):
    (tmp_path / 'bad_images.csv').write_text('path,reason\nolder.jpg,empty\n')
    if packed:
        examples = Examples(examples.labels, 'ab', records=records.of(examples))
    bad = skipping(tmp_path)
    with caplog.at_level('WARNING'):
        taken = list(batches(examples, bad).take(6))  # two epochs
    messages = [record.getMessage() for record in caplog.records]
    labels = np.concatenate([labels for _, labels in taken])
    assert sorted(labels[:24]) == sorted(labels[24:]) == sorted(examples.labels)
    means = np.concatenate([tf.reduce_mean(tf.cast(images, tf.float32), [1, 2])
                            for images, _ in taken])
    for one in (0, 1):  # pictures of a class have its colours
        assert np.ptp(means[labels == one], axis=0).max() < 25
    assert bad.count(examples) == len(BAD)
    with open(tmp_path / 'bad_images.csv', newline='') as file:
        rows = {row['path']: row['reason'] for row in csv.DictReader(file)}
    if not packed:
        assert set(rows) == {*BAD, 'older.jpg'}  # of an earlier part of the run
        assert all(sum(name in message for message in messages) == 1 for name in BAD)
        assert 'empty' in rows['empty.jpg']
        assert 'truncated' in rows['cut.jpg']
        assert 'truncated' in rows['cut_at_end.jpg']
        assert 'HTML' in rows['page.jpg']
        assert '90000 pixels' in rows['bomb.jpg']
        assert 'No such file' in rows['missing.jpg']
        assert 'not a file' in rows['folder.jpg']
        again = skipping(tmp_path)  # as the next fold of an audit makes one
        assert not again.leave_out(examples, [examples.name(i) for i in range(24)].index('cut.jpg'))
        assert len(caplog.records) == len(messages)


def test_replacements_repeat_and_do_not_depend_on_what_was_found_before(examples, tmp_path):
    whole = list(batches(examples, skipping(tmp_path)).take(3).as_numpy_iterator())
    later = next(batches(examples, skipping(tmp_path), start=2).as_numpy_iterator())
    np.testing.assert_array_equal(later[0], whole[2][0])


def fit(dataset, bad, **options):
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with bad.raising():
        model.fit(dataset, verbose=0, shuffle=False, **options)


def test_stop_names_the_file_to_the_caller_of_fit(examples):
    bad = BadImages('stop', max_pixels=LIMIT)
    with pytest.raises(InputError) as caught:
        fit(batches(examples, bad), bad, steps_per_epoch=3)
    assert any(name in str(caught.value) for name in BAD)
    assert '\n' not in str(caught.value)


def test_too_many_bad_images_stop_the_run(examples, tmp_path):
    bad = skipping(tmp_path, max_fraction=0.1)
    with pytest.raises(InputError, match=r'found 3 bad images of 24.*data.max_bad_fraction = 0.1'):
        fit(batches(examples, bad), bad, steps_per_epoch=3)


def test_class_without_a_good_image_stops_the_run(examples, tmp_path):
    only_bad = examples.subset([*range(len(BAD)), *range(16, 24)])
    bad = skipping(tmp_path, max_fraction=1.0)
    with pytest.raises(InputError, match="class 'a' has no good image left"):
        fit(batches(only_bad, bad), bad, steps_per_epoch=3)


def test_evaluation_leaves_bad_images_out_by_weight(examples, tmp_path):
    bad = skipping(tmp_path)
    parts = evaluation(examples, bad)
    images = np.concatenate([batch.crops[0][:, 0] for batch in parts])
    labels, weights = (np.concatenate([batch[i] for batch in parts]) for i in (1, 2))
    np.testing.assert_array_equal(labels, examples.labels)
    np.testing.assert_array_equal(weights, [0] * len(BAD) + [1] * 16)
    assert not images[:len(BAD)].any()
    assert images[len(BAD):].any((1, 2, 3)).all()
    assert bad.count(examples) == len(BAD)


def test_evaluation_stops_at_a_bad_image(examples):
    bad = BadImages('stop', max_pixels=LIMIT)
    with pytest.raises(InputError, match=r'jpg|png'), bad.raising():
        evaluation(examples, bad)


def test_other_errors_pass_unchanged():
    bad = BadImages()
    with pytest.raises(tf.errors.InvalidArgumentError), bad.raising():
        tf.io.decode_jpeg(b'no jpeg')


@pytest.mark.parametrize(('options', 'field'), [
    ({'on_error': 'ignore'}, 'data.on_error'), ({'max_fraction': 1.5}, 'data.max_bad_fraction'),
    ({'max_pixels': -1}, 'data.max_pixels')])
def test_bad_settings_are_named(options, field):
    with pytest.raises(InputError, match=field):
        BadImages(**options)


def test_a_name_that_is_not_text_is_listed(examples, tmp_path):
    names = examples.subset([0, 20])
    odd = Examples(names.labels, 'ab', paths=np.array([b'm\xfcll.jpg', b'good10.jpg'], 'S'),
                   root=str(tmp_path))
    bad = skipping(tmp_path)
    assert [batch.weights.numpy().tolist() for batch in evaluation(odd, bad)] == [[0, 1]]
    rows = list(csv.DictReader((tmp_path / 'bad_images.csv').open(encoding='utf-8')))
    assert len(rows) == 1
    assert 'No such file' in rows[0]['reason']


def test_workers_share_one_list(examples, tmp_path):
    """Each names what it finds, nothing twice, also after one died while it wrote a row."""
    both = [skipping(tmp_path) for _ in range(2)]
    for index, bad in ((0, both[0]), (1, both[1]), (0, both[1]), (2, both[0])):
        assert not bad.leave_out(examples, index)
    with open(tmp_path / 'bad_images.csv', 'a') as file:
        file.write('"a, b",emp')
    for bad in both:
        assert not bad.leave_out(examples, 3)
    rows = list(csv.reader((tmp_path / 'bad_images.csv').open(newline='')))
    assert rows[0] == ['path', 'reason']
    assert [row[0] for row in rows[1:]] == [*list(BAD)[:3], 'a, b', list(BAD)[3]]


def test_a_bad_image_costs_one_row_however_long_the_list_is(examples, tmp_path):
    report = tmp_path / 'bad_images.csv'
    report.write_text('path,reason\n' + 'x.jpg,empty\n' * 50_000)
    before = os.stat(report).st_ino
    bad = skipping(tmp_path)
    bad.leave_out(examples, 0)
    read = []
    whole, bad._report._read = bad._report._read, lambda file: read.append(
        os.fstat(file.fileno()).st_size - bad._report._place) or whole(file)
    bad.leave_out(examples, 1)
    assert read[0] < 200  # bytes
    assert os.stat(report).st_ino == before


def test_a_list_that_cannot_be_written_is_named(examples, tmp_path):
    bad = skipping(tmp_path, report=tmp_path / 'gone' / 'bad_images.csv')
    with pytest.raises(RunError, match='gone.bad_images.csv: No such file'), bad.raising():
        evaluation(examples, bad)
