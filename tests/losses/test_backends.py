"""Loss, metric and class weights on JAX and PyTorch give what they give on TensorFlow."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import class_weights, losses, metrics

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = ROOT / '.venv-backends' / 'bin' / 'python'
COUNTS = [40.0, 11, 7, 2, 1]
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 5, 9)
Z = (3 * RNG.standard_normal((9, 5))).astype(np.float32)


@pytest.mark.skipif(not PYTHON.exists(), reason='no .venv-backends: make .venv-backends/done')
@pytest.mark.parametrize('backend', ['jax', 'torch'])
def test_the_same_on_other_backends(backend, tmp_path):
    done = subprocess.run(
        [PYTHON, ROOT / 'tests/losses/on_backend.py'], text=True, capture_output=True, cwd=ROOT,
        env={**os.environ, 'KERAS_BACKEND': backend, 'PYTHONPATH': str(ROOT),
             'KERAS_HOME': str(tmp_path)},
        input=json.dumps({'y': Y.tolist(), 'z': Z.tolist(), 'counts': COUNTS}))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['weights'] == [class_weights.balanced(COUNTS).tolist(),
                                class_weights.effective(COUNTS).tolist()]
    for name in losses.NAMES:
        loss = losses.make(name, COUNTS)
        for (value, gradient), labels in zip(found[name], (Y, np.eye(5)[Y]), strict=False):
            z = tf.constant(Z)
            with tf.GradientTape() as tape:
                tape.watch(z)
                expected = loss(labels, z)
            np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(gradient, tape.gradient(expected, z), rtol=1e-4, atol=1e-6,
                                       err_msg=name)
    metric = metrics.MeanTop1Error(5)
    metric.update_state(Y, Z)
    metric.update_state(np.eye(5)[Y], -Z, 0.5)
    assert found['metric'] == [pytest.approx(float(metric.result())),
                               metric.classes_without_images]
    assert max(found['trained']) < 0.21
    assert np.isnan(found.get('nan', np.nan)).all()
