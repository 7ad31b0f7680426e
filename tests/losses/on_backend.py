"""Run by test_backends.py in an environment without TensorFlow: prints values as JSON."""

import json
import sys

import keras
import numpy as np

from bsce_tf import class_weights, losses, metrics


def gradient(loss, labels, logits):
    """(value, gradient by the logits) as lists."""
    if keras.backend.backend() == 'jax':
        import jax

        found = jax.jit(jax.value_and_grad(lambda z: loss(labels, z)))(logits)
    else:
        import torch

        z = torch.tensor(logits, requires_grad=True)
        value = loss(torch.tensor(labels), z)
        value.backward()
        found = value.detach(), z.grad
    return [np.asarray(part).tolist() for part in found]


def changes(loss, labels, logits):
    """Whether a loss changes the labels that it is called with."""
    given = keras.ops.convert_to_tensor(labels.copy())
    loss(given, keras.ops.convert_to_tensor(logits))
    return not np.array_equal(keras.ops.convert_to_numpy(given), labels)


def trained(loss, classes):
    """Losses and metrics of a small model that `fit` trains, all finite, and its accuracy."""
    x = np.eye(classes, dtype='float32').repeat(8, 0)
    y = np.arange(classes).repeat(8)
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Dense(classes)])
    model.compile(keras.optimizers.SGD(2.0), loss, metrics=[metrics.MeanTop1Error(classes)])
    model.fit(x, y, epochs=30, batch_size=10, verbose=0)
    return model.evaluate(x, y, verbose=0, return_dict=True)['mean_top1_error']


def main():
    given = json.load(sys.stdin)
    y, z, counts = (np.array(given[name]) for name in ('y', 'z', 'counts'))
    z = z.astype('float32')
    classes = len(counts)
    found = {'weights': [class_weights.balanced(counts).tolist(),
                         class_weights.effective(counts).tolist()]}
    for name in losses.NAMES:
        loss = losses.make(name, counts)
        labels = [y] if name == 'seesaw' else [y, np.eye(classes, dtype='float32')[y]]
        found[name] = [gradient(loss, label, z) for label in labels]
        assert not any(changes(loss, label, z) for label in labels), name
    metric = metrics.MeanTop1Error(classes)
    metric.update_state(y, z)
    metric.update_state(np.eye(classes)[y], -z, 0.5)
    found['metric'] = [float(metric.result()), metric.classes_without_images]
    found['trained'] = [trained(losses.make(name, np.full(classes, 8.0)), classes)
                        for name in ('bsce', 'bsce_many')]
    if keras.backend.backend() == 'jax':  # PyTorch refuses such labels
        found['nan'] = [float(losses.make(name, counts)(np.array([classes] * len(y)), z))
                        for name in losses.NAMES]
        metric.update_state(np.full(len(y), -1), z)
        found['nan'].append(float(metric.result()))
    assert 'tensorflow' not in sys.modules
    print(json.dumps(found))


if __name__ == '__main__':
    main()
