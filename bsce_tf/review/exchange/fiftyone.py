"""FiftyOne: labels beside image files, in its own format for image classification.

Its `FiftyOneImageClassificationDataset` is a JSON file: {"classes": [names …], "labels": {path of
an image: {"label": place in classes, "attributes": {…}}}}. The paths are absolute, so that images
stay where they are.
"""

import json
import os
import pathlib

from absl import logging

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.review.exchange import items

_KIND = 'FiftyOneImageClassificationDataset'


def write(path, found, open_items):
    """Writes the labels; arguments and value as those of `label_studio.write`."""
    train, labels, twice = found.train, {}, 0
    ids = dict(zip(train.class_names, range(train.num_classes), strict=True))
    for item in open_items:
        name = items.absolute(train, item.file)
        twice += name in labels
        labels.setdefault(name, {'label': ids[item.given], 'attributes': {
            'suggested': item.suggested, 'best': item.best, 'wrong': item.wrong,
            'sha256': item.sha256}})
    if twice:
        logging.warning('%s: %d images are left out, as their files have several labels. The page '
                        'shows them.', train.origin, twice)
    files.write_json(pathlib.Path(path), {'classes': train.class_names, 'labels': labels})
    return (f'{path}: {len(labels):,} images for FiftyOne: fiftyone.Dataset.from_dir('
            f"labels_path='{os.path.abspath(path)}', dataset_type=fiftyone.types.{_KIND})")


def read(path, found):
    """List of `items.Answer` in labels that FiftyOne exported with `abs_paths=True`.

    Every image in the file counts as decided: one without a label is removed.

    Raises:
      InputError: if the file cannot be read, is of other images, or is what `write` has written.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
        names, labels = content.get('classes'), content['labels'].items()
        told = {name: _label(target, names) for name, target in labels}
        digests = {name: _digest(target) for name, target in labels}
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(f'review.read: {path}: {type(error).__name__} {error}; expected labels '
                         f'that FiftyOne exported as {_KIND}.') from error
    train = found.train
    places = {}
    for (file, _, _), index in items.places(found).items():
        places.setdefault(items.absolute(train, file), index)
    answers = []
    for name, label in told.items():
        if name not in places:
            raise InputError(
                f"review.read: {path}: '{name}' is in no list of {found.folder}; expected images "
                'of this audit, exported with abs_paths=True.')
        answers.append(items.Answer(places[name], label, digests[name], '', f"{path}: '{name}'"))
    if len(answers) > 1 and all(
            answer.label == train.class_names[train.labels[answer.index]] for answer in answers):
        raise InputError(f'review.read: {path}: all {len(answers)} images have the labels that '
                         'they were given; expected an export of those that you decided on, with '
                         'at least one that is changed.')
    return answers


def _label(target, names):
    """Name of a class; '' without one."""
    value = target.get('label') if isinstance(target, dict) else target
    if value is None:
        return ''
    if not isinstance(value, int):
        return str(value)
    if value < 0:
        raise IndexError(f'a label is {value}')
    return names[value]


def _digest(target):
    """SHA-256 in the attributes; '' if they were not exported."""
    return str((target.get('attributes') or {}).get('sha256') or '') if isinstance(
        target, dict) else ''
