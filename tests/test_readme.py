"""What README shows of the loss runs as it stands there, with fewer epochs."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

README = pathlib.Path(__file__).parents[1] / 'README.md'


@pytest.fixture(scope='module')
def names():
    """What the examples take for granted, small."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [12, 6, 4])
    features = np.eye(3)[labels] + rng.normal(0, 0.1, (22, 3))
    data = tf.data.Dataset.from_tensor_slices((features.astype('float32'), labels)).batch(22)

    def build_model():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])

    return {'counts': [12, 6, 4], 'build_model': build_model, 'train': data, 'validation': data}


def test_the_loss_in_a_model_of_ones_own(names, capsys):
    section = README.read_text().partition('## Use the loss in your own model')[2]
    section = section.partition('\n## ')[0]
    blocks = re.findall(r'```python\n(.*?)```', section, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace('epochs=30', 'epochs=3'), names)
    errors = names['model'].history.history['val_mean_top1_error']
    assert len(errors) == 3
    assert errors[-1] <= errors[0]
    assert float(names['loss']([0], [[0.0, 0.0, 0.0]])) > 0
