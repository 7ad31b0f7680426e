"""The labels that were right before some were made wrong, and how the data of a condition look."""

from typing import NamedTuple

import numpy as np

from bsce_tf import metrics
from bsce_tf.data import prepare, sources
from bsce_tf.data.examples import Splits
from bsce_tf.errors import InputError, RunError


class Truth(NamedTuple):
    """What a run sees, and what is right.

    Attributes:
      data: `Splits`, with the given labels.
      train: int `[N]`, right labels of the training images.
      validation: int `[n]`, right labels of the validation images.
    """

    data: Splits
    train: np.ndarray
    validation: np.ndarray


def load(config):
    """The `Truth` of the data of a config, whose source has its images in memory.

    Raises:
      InputError: as `prepare.load`.
      RunError: if the images are not where their numbers say.
    """
    data = prepare.load(**config.data, seed=config.seed)
    source = sources.load(config.data.source, **sources.fields(config.data))
    before = source.train if source.validation is None else source.validation
    return Truth(data, _right(data.train, source.train), _right(data.validation, before))


def _right(examples, before):
    numbers = np.arange(len(before)) if examples.numbers is None else examples.numbers
    if not np.array_equal(before.images[numbers], examples.images):
        raise RunError(f'{examples.origin}: images are not where their numbers say; expected them '
                       'in the order of the source.')
    return before.labels[numbers]


def figures(given, right, num_classes):
    """How imbalanced and how wrong a training set is.

    Args:
      given: int `[N]` labels that the loss sees.
      right: int `[N]`.
      num_classes: K.

    Returns:
      dict: `classes`, `images`, `true_imbalance` and `given_imbalance` (largest class / smallest
      that has images), `wrong` (share of wrong labels) and `wrong_tail` (the same among images
      whose given label is of the third of the classes with the fewest of them).
    """
    given, right = np.asarray(given), np.asarray(right)
    before, after = (np.bincount(labels, minlength=num_classes) for labels in (right, given))
    wrong = given != right
    tail = np.isin(given, metrics.class_groups(after)['tail'])
    return {'classes': num_classes, 'images': len(given),
            'true_imbalance': before.max() / before[before > 0].min(),
            'given_imbalance': after.max() / after[after > 0].min(),
            'wrong': wrong.mean(), 'wrong_tail': wrong[tail].mean()}


def table(configs):
    """Markdown: a row a condition of {name: config}; one whose data are not there says so."""
    lines = ['| data | classes | training images | passes | imbalance of the true labels '
             '| of the given ones | wrong labels | in the tail third |',
             '|---|' + '---:|' * 7]
    for name, config in configs.items():
        lines.append(f'| {name} | {_cells(config)} |')
    return '\n'.join(lines) + '\n'


def _cells(config):
    try:
        found = load(config)
    except InputError:
        return 'not made |' + ' |' * 5
    f = figures(found.data.train.labels, found.train, found.data.train.num_classes)
    passes = config.epochs * (config.steps * config.batch_size / f['images'] if config.steps else 1)
    return (f'{f["classes"]:,} | {f["images"]:,} | {passes:.1f} | {f["true_imbalance"]:.1f} '
            f'| {f["given_imbalance"]:.1f} | {100 * f["wrong"]:.1f} % '
            f'| {100 * f["wrong_tail"]:.1f} %')
