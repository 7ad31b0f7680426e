"""Predicting with a SavedModel of the signature that an export has."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bsce_tf.errors import InputError, RunError
from bsce_tf.evaluation.predict import predict
from tests.run_files import rows_of
from tests.smoke import smoke

CLASSES = ['rouge', 'green', 'blau, hell']


class Colours(tf.Module):
    """Ranks red, green and blue by the mean of each; what a bad image does is up to `empty`."""

    def __init__(self, votes, empty):
        super().__init__()
        self.votes, self.empty = votes, empty
        self.scale = tf.Variable(1 / 255)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='image_bytes')])
    def serve(self, image_bytes):
        def one(data):
            def mean():
                image = tf.io.decode_png(data, channels=3)
                return tf.reduce_mean(tf.cast(image, tf.float32), [0, 1]) * self.scale
            if not self.empty:
                return mean()
            png = tf.strings.regex_full_match(tf.strings.substr(data, 1, 3), 'PNG')
            return tf.cond(png, mean, lambda: tf.fill([3], -1.0))

        scores, ids = tf.math.top_k(
            tf.map_fn(one, image_bytes, fn_output_signature=tf.float32), 3)
        names = tf.where(scores < 0, '', tf.gather(tf.constant(CLASSES), ids))
        found = {'class_names': names, 'class_ids': ids, 'scores': scores}
        return {**found, 'votes': 4 - ids} if self.votes else found


def save(path, votes=False, empty=False):
    model = Colours(votes, empty)
    tf.saved_model.save(model, str(path), signatures={'serving_default': model.serve})
    return path


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    return {'plain': save(folder / 'plain' / '2').parent, 'empty': save(
        folder / 'empty', votes=True, empty=True)}


@pytest.fixture
def colours(tmp_path):
    """11 PNG files, their mean colours, and a config that predicts them."""
    values = np.random.default_rng(0).integers(0, 256, (11, 3))
    (tmp_path / 'in').mkdir()
    for i, value in enumerate(values):
        Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(tmp_path / 'in' / f'{i:02d}.png')
    config = smoke(**{'batch_size': 4, 'predict.input': str(tmp_path / 'in'),
                      'predict.output': str(tmp_path / 'p.csv')})
    return tmp_path, values, config


def check(rows, values, bad=()):
    assert len(rows) == len(values)
    for i, row in enumerate(rows):
        assert row['path'] == f'{i:02d}.png'
        order = np.argsort(-values[i], kind='stable')
        classes = [row[key] for key in row if key.startswith('class')]
        scores = [row[key] for key in row if key.startswith('score')]
        if i in bad:
            assert classes + scores == [''] * 2 * len(scores)
            continue
        assert classes == [CLASSES[k] for k in order[:len(classes)]]
        assert [float(s) for s in scores] == pytest.approx(
            values[i, order[:len(scores)]] / 255, abs=1e-5)
        if 'votes_1' in row:
            assert row['votes_1'] == str(4 - order[0])


@pytest.mark.parametrize('kind', ['plain', 'empty'])
def test_it_predicts_and_bad_images_stop_or_are_left_out(models, colours, kind):
    folder, values, config = colours
    config.predict.model = str(models[kind])
    predict(config, folder / 'no' / 'run')
    rows = rows_of(folder / 'p.csv')
    check(rows, values)
    assert ('votes_1' in rows[0]) == (kind == 'empty')
    assert 'class_3' in rows[0]  # of the five asked for, those that the model has
    bad = [1, 4, 5, 6, 7, 10]
    for i in bad:
        (folder / 'in' / f'{i:02d}.png').write_bytes(b'' if i == 10 else b'GIF8broken')
    config.predict.top_k = 2
    with pytest.raises(InputError, match='in: 01.png'):
        predict(config, folder / 'no' / 'run')
    config.data.on_error = 'skip'
    predict(config, folder / 'no' / 'run')
    check(rows_of(folder / 'p.csv'), values, bad)
    assert [row['path'] for row in rows_of(folder / 'p_bad_images.csv')] == [
        f'{i:02d}.png' for i in bad]


def test_images_in_memory(models, colours):
    folder, _, config = colours
    config.predict.model, config.predict.input = str(models['plain']), ''
    predict(config, folder)
    rows = rows_of(folder / 'p.csv')
    assert len(rows) == 48
    from bsce_tf.data.sources import generated
    means = generated.load().test.images.mean((1, 2)) / 255
    for row, mean in zip(rows, means, strict=True):
        assert row['class_1'] == CLASSES[mean.argmax()]
        assert float(row['score_1']) == pytest.approx(mean.max(), abs=1e-4)


def test_a_good_image_that_the_model_refuses_is_named(models, colours):
    folder, _, config = colours
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / 'in' / '05.png', format='JPEG')
    config.predict.model = str(models['empty'])
    with pytest.raises(RunError, match='no answer to 05.png, which is a good image'):
        predict(config, folder)


def test_what_is_no_such_model_is_named(models, colours, tmp_path):
    folder, _, config = colours
    (tmp_path / 'nothing').mkdir()
    config.predict.model = str(tmp_path / 'nothing')
    with pytest.raises(InputError, match='nothing holds no saved_model.pb'):
        predict(config, folder)
    module = tf.Module()
    module.f = tf.function(lambda x: {'y': x}, [tf.TensorSpec([None], tf.string, name='x')])
    tf.saved_model.save(module, str(tmp_path / 'other'), signatures={'serving_default': module.f})
    config.predict.model = str(tmp_path / 'other')
    with pytest.raises(InputError, match=r"takes \['x'\] and gives \['y'\]; expected image_bytes"):
        predict(config, folder)
    (tmp_path / 'damaged').mkdir()
    (tmp_path / 'damaged' / 'saved_model.pb').write_bytes(b'?')
    config.predict.model = str(tmp_path / 'damaged')
    with pytest.raises(InputError, match='damaged'):
        predict(config, folder)
