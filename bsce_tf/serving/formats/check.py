"""Compares the answers of an ONNX or LiteRT file with those of the models that it holds."""

import numpy as np
import tensorflow as tf

from bsce_tf.errors import RunError
from bsce_tf.evaluation import ensemble
from bsce_tf.serving import check

TOLERANCE = 1e-3  # of probabilities, with float32 weights


def compare(title, answer, networks, names, decoded, weights):
    """Asks for each image alone, and for the first one twice in one batch.

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


def errors(answer, networks, examples):
    """Mean top-1 errors of the models and of the file, over the classes of some images.

    Args:
      answer: as in `compare`.
      networks: list of `Network`.
      examples: list of (uint8 `[height, width, 3]`, class id).

    Returns:
      (error of the models, of the file, share of images whose best class differs).
    """
    images, labels = zip(*examples, strict=True)
    probabilities = check.probabilities_of(networks, images)
    own = tf.argmax(ensemble.ranking(probabilities), axis=1).numpy()
    found = np.array([answer(image.numpy()[None])['class_ids'][0, 0] for image in images])
    labels = np.array(labels)
    wrong = [np.mean([np.mean(ids[labels == k] != k) for k in np.unique(labels)])
             for ids in (own, found)]
    return float(wrong[0]), float(wrong[1]), float(np.mean(own != found))
