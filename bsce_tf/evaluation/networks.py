"""The networks of trained runs, for test time."""

import contextlib
import hashlib
import json

import keras

from bsce_tf import fields
from bsce_tf.data import view
from bsce_tf.errors import InputError
from bsce_tf.fields import field, stored
from bsce_tf.models import classifier, network
from bsce_tf.training import workdir


def load(folder, scales=()):
    """The `Network` of the run in a folder, see `of_run`.

    Raises:
      InputError: if the folder holds no trained run, or a scale is below the run's crop.
    """
    return of_run(workdir.read(folder), scales)


def of_run(run, scales=(), policy=None):
    """The `Network` of a `workdir.Run`.

    Args:
      run: the run.
      scales: test scales in pixels; empty: the run's `tta.scales`, or else its `image.scales`.
      policy: Keras dtype policy; None: the run's own precision.

    Raises:
      InputError: if a scale is below the run's crop.
    """
    image = run.config.image
    scales = tuple(dict.fromkeys(scales or run.config.tta.scales or image.scales))
    if min(scales) < image.size:
        raise InputError(f'tta.scales: found {min(scales)}; expected at least image.size of '
                         f'{run.folder}, which is {image.size}.')
    with precision(policy or run.config.precision):
        seen = view.of(image, run.data['channels']).at(scales)
        return network.of(model_of(run), seen, run.config.model.features)


def model_of(run):
    """The classifier of a `workdir.Run`, with its weights, in the current dtype policy."""
    model = classifier.make_model(run.config, len(run.class_names), run.data['channels'])
    classifier.load_weights(model, run.weights)
    return model


def fingerprint(run, network):
    """Hex digest of what the answers of a `workdir.Run` by its `Network` depend on.

    These are its weights, classes, precision, crops at test time and fields of its model. What may
    change when a finished run is resumed, such as `report.pairs`, does not count. Nor do fields
    with the value that they have in runs from before they existed, so that a field which is new
    changes no fingerprint.
    """
    seen, model = network.view, stored.flat({'model': run.config.model.to_dict()})
    told = [list(run.class_names), run.config.precision,
            [seen.size, seen.scales, seen.aspect, seen.antialias, seen.channels],
            {name: value for name, value in sorted(model.items())
             if value != fields.TABLE[name].before and fields.TABLE[name].resume != field.LATER}]
    digest = hashlib.sha256(json.dumps(told).encode())
    with open(run.weights, 'rb') as file:
        digest.update(hashlib.file_digest(file, 'sha256').digest())
    return digest.hexdigest()


@contextlib.contextmanager
def precision(policy):
    """Context in which layers are made with this dtype policy."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def check_classes(runs):
    """Raises InputError if the classes of the `workdir.Run`s differ, naming the first."""
    first, *others = runs
    for other in others:
        for k, (ours, theirs) in enumerate(zip(first.class_names, other.class_names, strict=False)):
            if ours != theirs:
                raise InputError(f"{other.folder}: class {k} is '{theirs}', and '{ours}' in "
                                 f'{first.folder}; expected models of the same classes.')
        if len(first.class_names) != len(other.class_names):
            raise InputError(f'{other.folder}: has {len(other.class_names)} classes, and '
                             f'{first.folder} {len(first.class_names)}; expected models of the '
                             'same classes.')
