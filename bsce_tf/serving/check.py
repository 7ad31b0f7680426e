"""Compares the answers of a SavedModel with those of the models that it was exported from."""

import numpy as np
import tensorflow as tf

from bsce_tf.data.images import decode
from bsce_tf.errors import RunError
from bsce_tf.evaluation import ensemble
from bsce_tf.serving import neighbours

TOLERANCE = 1e-4  # of probabilities; of features: relative to the largest one, at least 1


def compare(folder, networks, names, images, max_pixels=0, index=None):
    """Loads a SavedModel and compares its answers to images with those of the networks.

    All signatures: encoded images in one request, each decoded image in one, and the features.

    Args:
      folder: of the SavedModel.
      networks: list of `Network`.
      names: class names.
      images: list of bytes, encoded images that are not bad.
      max_pixels: as in the SavedModel.
      index: `neighbours.Neighbours` of the SavedModel, or None.

    Returns:
      (the largest difference of a probability, that of a cosine; None without an index).

    Raises:
      RunError: if an answer differs by more than `TOLERANCE`, naming it.
    """
    signatures = tf.saved_model.load(str(folder)).signatures
    decoded = [decode.decode(tf.constant(data), max_pixels) for data in images]
    features, probabilities = _own(networks, decoded)
    encoded = tf.constant(images)
    found = _numpy(signatures['features'](image_bytes=encoded))
    for i, own in enumerate(features):
        name = 'features' if len(networks) == 1 else f'features_{i + 1}'
        _close(f'{name} of the images', found[name], own, TOLERANCE * max(1.0, np.abs(own).max()))
    largest = answer('serving_default', _numpy(signatures['serving_default'](image_bytes=encoded)),
                      probabilities, names)
    for i, image in enumerate(decoded):
        found = _numpy(signatures['predict_images'](images=image[None]))
        largest = max(largest, answer('predict_images', found, probabilities[:, i:i + 1], names))
    return largest, index and neighbours.compare(signatures['neighbours'], index, images, features,
                                                 probabilities.numpy())


def _own(networks, decoded):
    """(averaged features of each network, float32 `[n, feature_dim]`; probabilities
    `[networks, n, K]`)."""
    features, probabilities = [], []
    for network in networks:
        found = tf.concat([network.features(network.view.centre(image)[None])
                           for image in decoded], axis=0)
        features.append(tf.reduce_mean(found, axis=1).numpy())
        probabilities.append(tf.nn.softmax(network.logits(found)))
    return features, tf.stack(probabilities)


def probabilities_of(networks, decoded):
    """float32 `[networks, n, K]` of a list of n images, uint8 `[height, width, 3]`."""
    return _own(networks, decoded)[1]


def answer(signature, found, probabilities, names, tolerance=TOLERANCE):
    """Checks one answer.

    Args:
      signature: that gave it, for messages.
      found: dict of NumPy arrays, as `graph.Graph` gives it.
      probabilities: `[networks, n, K]`, of the networks themselves.
      names: class names.
      tolerance: of probabilities.

    Returns:
      The largest difference of a score.

    Raises:
      RunError: if it differs by more than `tolerance`, naming what does.
    """
    ids = found['class_ids']
    own = tf.reduce_mean(probabilities, axis=0).numpy()
    difference = _close(f'{signature}: scores', found['scores'],
                        np.take_along_axis(own, ids, axis=1), tolerance)
    rank = own if len(probabilities) == 1 else ensemble.ranking(probabilities).numpy()
    best = -np.sort(-rank, axis=1)[:, :ids.shape[1]]
    clear = _clear(np.asarray(probabilities), tolerance)
    _close(f'{signature}: order of the classes', np.take_along_axis(rank, ids, axis=1)[clear],
           best[clear], tolerance)
    told = [[names[k].encode() for k in row] for row in ids]
    if told != found['class_names'].tolist():
        raise RunError(f'export: {signature}: found class names {found["class_names"].tolist()}; '
                       f'expected {told}. Nothing was exported.')
    if len(probabilities) > 1:
        votes = ensemble.votes(probabilities).numpy()
        _close(f'{signature}: votes', found['votes'][clear],
               np.take_along_axis(votes, ids, axis=1)[clear], tolerance)
    return difference


def _clear(probabilities, tolerance):
    """bool `[n]`: images whose votes cannot change if probabilities differ by `tolerance`."""
    if len(probabilities) == 1:
        return np.full(probabilities.shape[1], np.isfinite(tolerance))
    best = -np.sort(-probabilities, axis=-1)[..., :2]
    return np.all(best[..., 0] - best[..., -1] > 2 * tolerance, axis=0)


def _close(what, found, own, tolerance=TOLERANCE):
    if found.shape != own.shape:
        raise RunError(f'export: {what}: found the shape {found.shape}; expected {own.shape}. '
                       'Nothing was exported.')
    if not found.size:
        return 0.0
    difference = np.abs(np.asarray(found, np.float64) - own)
    if not np.all(difference <= tolerance):  # also true for NaN
        at = tuple(int(i) for i in np.argwhere(~(difference <= tolerance))[0])
        raise RunError(f'export: {what}: found {found[at]:g} for image {at[0]} in the export '
                       f'and {own[at]:g} in the models; expected equal within {tolerance:g}. '
                       'Nothing was exported.')
    return float(difference.max())


def _numpy(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}
