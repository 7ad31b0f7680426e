"""Compares the answers of an ONNX or LiteRT file with those of the models that it holds."""

import numpy as np
import tensorflow as tf

from bsce_tf.errors import RunError
from bsce_tf.evaluation import ensemble
from bsce_tf.serving import check

TOLERANCE = 1e-3  # of probabilities, with float32 weights


def compare(title, answer, networks, names, decoded, weights):
    """Asks for each image alone, for a part of the first, and for the first twice in one batch.

    Args:
      title: of the format, for messages.
      answer: function of uint8 `[n, height, width, 3]` to the dict of answers.
      networks: list of `Network`.
      names: class names.
      decoded: list of uint8 `[height, width, 3]`.
      weights: 'float32', or the narrower numbers of the file, which may change the answers.

    Returns:
      The largest difference of a probability.

    Raises:
      RunError: if an answer is not whole or, with float32, differs by more than `TOLERANCE`.
    """
    tolerance = TOLERANCE if weights == 'float32' else np.inf
    height = decoded[0].shape[0]
    decoded = [*decoded, decoded[0][:height - height // 3]]  # of another shape, whatever the set is
    probabilities, largest = check.probabilities_of(networks, decoded), 0.0
    for i, image in enumerate(decoded):
        found = answer(image.numpy()[None])
        largest = max(largest, check.answer(title, found, probabilities[:, i:i + 1], names,
                                            tolerance))
        if i == 0:
            twice = answer(np.stack([image.numpy()] * 2))
            if any(x.shape[0] != 2 for x in twice.values()) or not np.allclose(
                    twice['scores'], found['scores'], rtol=0, atol=TOLERANCE):
                raise RunError(f'export: {title}: found scores {twice["scores"].tolist()} for an '
                               f'image that comes twice; expected {found["scores"][0].tolist()} '
                               'for both. Nothing was exported.')
    return largest


def errors(asks, networks, examples):
    """Mean top-1 errors of the models and of files, over the classes of some images.

    Args:
      asks: list of functions as `answer` of `compare`.
      networks: list of `Network`, as trained.
      examples: iterable of (uint8 `[height, width, 3]`, class id).

    Returns:
      (number of images, error of the models, [(error of a file, share of images whose best class
      differs)]); errors are NaN without images.
    """
    labels, own, found = [], [], []
    for image, label in examples:
        labels.append(label)
        own.append(int(tf.argmax(ensemble.ranking(
            check.probabilities_of(networks, [image]))[0])))
        found.append([int(ask(image.numpy()[None])['class_ids'][0, 0]) for ask in asks])
    labels, own, found = np.array(labels), np.array(own), np.array(found).reshape(-1, len(asks))
    return len(labels), _error(own, labels), [
        (_error(ids, labels), float(np.mean(own != ids)) if len(ids) else np.nan)
        for ids in found.T]


def _error(ids, labels):
    classes = [np.mean(ids[labels == k] != k) for k in np.unique(labels)]
    return float(np.mean(classes)) if classes else np.nan
