"""config.data → the three sets that a run uses."""

import dataclasses

import numpy as np
from absl import logging

from bsce_tf.data import clean_list, corrupt, decisions, groups, label_map, sources, split
from bsce_tf.data.examples import Splits
from bsce_tf.errors import InputError


def load(source, *, validation_fraction=0.1, copies=groups.PATHS, imbalance=1.0, noise=0.0,
         noise_kind='symmetric', unseen_classes=0.0, clean='', trusted='', seed=0, **fields):
    """Loads a source, makes a long tail and wrong labels if asked, and splits off validation.

    The tail is made first, then wrong labels among the images that are left, as benchmarks of both
    do. In the other order, most images of a tail class would have the label of a larger one. So the
    class sizes by given label fall less steeply than the true ones. Validation images come from
    that training set. Validation images of the source get wrong labels of the same share and kind,
    by their own class sizes. So no model is chosen by clean labels.

    Args:
      source: a key of `sources.SOURCES`.
      validation_fraction: share of the training images where the source has no validation set.
        Images of one group (`Examples.groups`) stay on one side.
      copies: which copies stay together, too, see `groups.together`.
      imbalance: see `corrupt.long_tail`; 1 leaves the set as it is.
      noise: see `corrupt.label_noise`; 0 leaves the labels as they are.
      noise_kind: 'symmetric', 'proportional' or 'asymmetric'.
      unseen_classes: share of the classes of which no image is in training and validation, see
        `split.unseen`; the class ids and the test set stay as they are.
      clean: see `clean_list.places`; the list of an audit chooses among the training images at the
        end, so the validation set is that of the run that was audited.
      trusted: decisions of a review, see `decisions.of`, or ''. The images that they keep or
        relabel leave the training set and are the validation set, with the labels of the
        decisions; removed ones are in neither. The validation set there would be without it is
        not used.
      seed: of all of these.
      **fields: of the source.

    Returns:
      `examples.Splits`, with a validation set.

    Raises:
      InputError: if a number is out of range, the sets have different classes, or what the source
        says of its own input.
    """
    before, audited = clean_list.places(clean)
    return of(sources.load(source, clean=before, **fields), source, audited=audited,
              trusted=trusted, seed=seed, validation_fraction=validation_fraction, copies=copies,
              imbalance=imbalance, noise=noise, noise_kind=noise_kind,
              unseen_classes=unseen_classes)


def of(splits, source='', *, validation_fraction=0.1, copies=groups.PATHS, imbalance=1.0, noise=0.0,
       noise_kind='symmetric', unseen_classes=0.0, audited='', trusted='', seed=0):
    """As `load`, for the `Splits` of a source.

    Args:
      splits: `examples.Splits`.
      source: name of the source, which decides the class pairs of asymmetric noise.
      validation_fraction, copies, imbalance, noise, noise_kind, unseen_classes, seed: as in `load`.
      audited: the list of an audit, or ''.
      trusted: as in `load`.
    """
    train, validation, test = splits
    if not train.labelled:
        raise InputError(f'{train.origin}: has no labels; expected labelled training images.')
    for other in (validation, test):
        if other is not None:
            label_map.check(train.class_names, other.class_names, train.origin, other.origin)
    if imbalance != 1:
        train = train.subset(corrupt.long_tail(train.labels, train.num_classes, imbalance, seed,
                                               train.class_names))
    if noise:
        pairs = corrupt.PAIRS.get(source, ())
        train, validation = (_noisy(part, noise, noise_kind, pairs, seed)
                             for part in (train, validation))
    if validation is None:
        train, validation = _split(train, validation_fraction, copies, seed)
    before = train
    if audited:
        indices, labels = clean_list.select(train, audited)
        train = train.subset(indices, labels)
    if trusted:
        validation, left = apart(before, indices if audited else np.arange(len(before)), trusted,
                                 copies)
        train = train.subset(left)
    if unseen_classes:
        train, validation = _without(train, validation, split.unseen(
            train.num_classes, unseen_classes, seed))
    else:
        _tell_empty(train, validation)
    return Splits(train, validation, test)


def apart(examples, indices, trusted, copies=groups.PATHS):
    """(`Examples` for validation, int64 `[m]` places in `indices` that are left for training).

    Images of a group with a validation image, and copies of it, are not left for training.

    Args:
      examples: an `Examples` with the labels from before any audit.
      indices: int `[n]`, the images that are chosen for training.
      trusted, copies: see `load`.

    Raises:
      InputError: if no image is left on one of both sides; and what `decisions.of` raises.
    """
    found = decisions.of(examples, trusted)
    kept = np.flatnonzero(found.labels >= 0)
    out = np.isin(indices, found.indices)
    together = groups.together(examples, copies)
    if together is not None:
        beside = np.isin(together[indices], together[found.indices[kept]]) & ~out
        if beside.any():
            logging.warning('%s: %d images are of a group with images of data.trusted, or copies '
                            'of them; they are not trained on.', examples.origin, beside.sum())
        out |= beside
    left = np.flatnonzero(~out)
    for number, where in ((len(kept), 'validation'), (len(left), 'training')):
        if not number:
            raise InputError(f'data.trusted: {trusted} leaves no image for {where}; expected '
                             'decisions that keep or relabel some images, but not all.')
    validation = examples.subset(found.indices[kept], found.labels[kept])
    logging.info('%s: validation by %d images of %d classes, whose labels a person decided '
                 '(data.trusted).', examples.origin, len(kept), (validation.counts > 0).sum())
    return validation, left


def _split(train, fraction, copies, seed):
    """(training images, validation images) of one set, no group and no copy on both sides."""
    together = groups.together(train, copies)
    kept, held_out = split.stratified_split(train.labels, train.num_classes, fraction, seed,
                                            together)
    if together is not None:
        logging.info('%s: %d images in %d groups; %d of %d groups are for validation.',
                     train.origin, len(train), len(np.unique(together)), len(held_out),
                     len(np.unique(together[held_out])))
        one = groups.classes_of_one(train.labels, together, train.num_classes)
        if one.size:
            logging.warning(
                '%s: all images of a class are one group in %d classes (%s); they are for '
                'training, so that nothing is validated of these classes.',
                train.origin, one.size, label_map.some(train.class_names[k] for k in one))
    return train.subset(kept), train.subset(held_out)


def _without(train, validation, classes):
    """The two sets without the images of some classes."""
    found = []
    for part in (train, validation):
        kept = np.flatnonzero(~np.isin(part.labels, classes))
        if not kept.size:
            raise InputError(f'data.unseen_classes: leaves no image of {part.origin}; expected a '
                             'smaller share.')
        found.append(part.subset(kept))
    logging.info('%s: %d of %d classes are unseen in training (data.unseen_classes), such as %s.',
                 train.origin, len(classes), train.num_classes,
                 label_map.some((train.class_names[k] for k in classes), 3))
    return found


def _tell_empty(train, validation):
    empty = np.flatnonzero(train.counts == 0)
    if empty.size:
        logging.warning(
            '%s: no training image of %d classes (%s), so nothing can be learnt of them; their %d '
            'validation images count as errors.', train.origin, empty.size,
            label_map.some(train.class_names[k] for k in empty),
            validation.counts[empty].sum())


def _noisy(examples, *noise):
    if examples is None or not examples.labelled:
        return examples
    return dataclasses.replace(examples, labels=corrupt.label_noise(
        examples.labels, examples.num_classes, *noise))
