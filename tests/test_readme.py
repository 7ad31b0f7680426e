"""What README shows of the loss runs as it stands there, with fewer epochs."""

import json
import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).parents[1] / 'README.md'
BEFORE = """
import json, keras, numpy as np, tensorflow as tf
counts = [12, 6, 4]
labels = np.repeat([0, 1, 2], counts)
features = np.eye(3)[labels] + np.random.default_rng(0).normal(0, 0.1, (22, 3))
train = validation = tf.data.Dataset.from_tensor_slices((features, labels)).batch(22)
build_model = lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
"""
AFTER = """
print(json.dumps([model.history.history['val_mean_top1_error'], float(loss([0], [[0., 0., 0.]]))]))
"""


def test_the_loss_in_a_model_of_ones_own():
    section = README.read_text().partition('## Use the loss in your own model')[2]
    section = section.partition('\n## ')[0]
    blocks = re.findall(r'```python\n(.*?)```', section, flags=re.DOTALL)
    assert len(blocks) == 2
    code = BEFORE + ''.join(blocks).replace('epochs=30', 'epochs=3') + AFTER
    # A process of its own, as several MirroredStrategies in one mistake each other's collectives.
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False,
                          cwd=README.parent)
    assert done.returncode == 0, done.stderr
    errors, loss = json.loads(done.stdout.splitlines()[-1])
    assert len(errors) == 3
    assert errors[-1] <= errors[0]
    assert loss > 0
