"""What there is to review in the folder of an audit: images in lists, and what is known of them."""

from typing import NamedTuple

import numpy as np
from absl import logging

from bsce_tf.audit import audit, duplicates
from bsce_tf.data import clean_list, decisions
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.review import best, order
from bsce_tf.training import workdir

ISSUES, TWO_LABELS, ONE_LABEL, SAMPLE = LISTS = (
    'issues', 'two_labels', 'one_label', 'sample')


class Catalogue(NamedTuple):
    """The images of an audit, N of them, in K classes.

    Attributes:
      folder: pathlib.Path.
      config: ConfigDict of the audit.
      train: the `Examples`, with the labels that were audited.
      before: the same with the labels from before any audit.
      reviewed: bool `[N]`: whether a person decided on the label after an earlier audit.
      scores, wrong: float64 `[N]`, of the audit; NaN without a prediction.
      listed: bool `[N]`.
      suggested: int32 `[N]`.
      best, probabilities: see `best.read`.
      lists: {name of `LISTS`: int64 `[n]`, indices of images in the order to look at}.
      twins: {index: list of (index, cosine) of images that are nearly the same}.
      notes: sentences for the reviewer.
      counts: int64 `[K]`, images of each class by the labels that were audited.
    """

    folder: object
    config: object
    train: Examples
    before: Examples
    reviewed: np.ndarray
    scores: np.ndarray
    wrong: np.ndarray
    listed: np.ndarray
    suggested: np.ndarray
    best: np.ndarray
    probabilities: np.ndarray
    lists: dict
    twins: dict
    notes: list
    counts: np.ndarray


def check(folder):
    """Raises InputError unless the folder (pathlib.Path) holds a whole audit."""
    for name in (audit.ISSUES, audit.SCORES, audit.CLEANED, workdir.CONFIG, workdir.DATA):
        if not (folder / name).is_file():
            raise InputError(f'--workdir: {folder} has no {name}; expected the folder of an audit '
                             'that is done (bsce audit).')


def read(folder, ordering, sample=0):
    """The `Catalogue` of the audit in a folder.

    Args:
      folder: pathlib.Path.
      ordering: one of `order.ORDERS`.
      sample: images of each class in the list of images drawn at random.

    Raises:
      InputError: if a file of the audit is missing or damaged, or of other data.
    """
    check(folder)
    config = workdir.config_of(folder)
    (train, _, _), given, reviewed = audit.load(config)
    notes = _check_data(folder, train)
    arrays = _scores(folder, train)
    listed = _issues(folder, train, arrays)
    wrong, scores, suggested = (arrays[name] for name in ('wrong', 'score', 'suggested'))
    arranged = order.arranged(ordering, wrong[listed], scores[listed], train.labels[listed],
                              suggested[listed], train.counts)
    pairs = _pairs(folder, train)
    twins = {}
    for a, b, cosine in pairs:
        twins.setdefault(a, []).append((b, cosine))
        twins.setdefault(b, []).append((a, cosine))
    two = [(a, b) for a, b, _ in pairs if train.labels[a] != train.labels[b]]
    one = [b for a, b, _ in pairs if train.labels[a] == train.labels[b]]
    lists = {ISSUES: listed[arranged], TWO_LABELS: _once(i for pair in two for i in pair),
             ONE_LABEL: _once(one), SAMPLE: order.sample(train.labels, train.counts, sample,
                                                         config.seed)}
    return Catalogue(folder, config, train, decisions.before_audits(train, given), reviewed, scores,
                     wrong, arrays['listed'], suggested, *best.read(config, folder, train), lists,
                     twins, notes, train.counts)


def taken_for(found, index):
    """The class that the networks take an image for, −1 if that is not known.

    Of an image whose label is listed that is another than the given one.
    """
    if found.listed[index]:
        return int(found.suggested[index])
    return int(found.best[index, 0])


def _check_data(folder, train):
    about = workdir.json_of(folder / workdir.DATA)
    if about.get('fingerprint') != records.fingerprint(train):
        raise InputError(
            f'{folder / workdir.DATA}: an audit of {about.get("images")} images in '
            f'{len(about.get("counts", ()))} classes, but {train.origin} now gives {len(train)} in '
            f'{train.num_classes}, or other names or labels; expected the images and labels that '
            'were audited.')
    if records.differing(about, {'contents': records.contents(train)}):
        note = ('Some images are gone or were replaced since the audit: what it says of them is of '
                'the earlier ones.')
        logging.warning('%s: %s', folder, note)
        return [note]
    return []


def _scores(folder, train):
    path = folder / audit.SCORES
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in ('score', 'wrong', 'listed', 'suggested',
                                                    'given')}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f'{path}: {error}; expected what bsce audit wrote.') from error
    if any(array.shape != (len(train),) for array in arrays.values()) or (
            arrays['given'] != train.labels).any():
        raise InputError(f'{path}: is of other images or labels than {train.origin}; expected the '
                         'files of one audit.')
    return arrays


def _issues(folder, train, arrays):
    """int64 `[n]`: the images of label_issues.csv, in its order; rows may have been left out."""
    path, names = folder / audit.ISSUES, records.names(train)
    places = {}
    for i in np.flatnonzero(arrays['listed'])[::-1].tolist():
        key = (bytes(names[i]), train.class_names[train.labels[i]],
               train.class_names[arrays['suggested'][i]])
        places.setdefault(key, []).append(i)
    found = []
    for number, row in _rows(path, audit.COLUMNS):
        key = row[0].encode('utf-8', 'surrogateescape'), *row[1:3]
        if not places.get(key):
            raise InputError(f"{path}: line {number}: '{key[0].decode('utf-8', 'replace')}' as "
                             f"'{row[1]}' is not listed in {audit.SCORES}; expected the list of "
                             'this audit.')
        found.append(places[key].pop())
    return np.array(found, np.int64)


def _pairs(folder, train):
    """List of (index, index, cosine) of near_duplicates.csv; empty where there is none."""
    path, names = folder / duplicates.NAME, records.names(train)
    if not path.exists():
        return []
    rows = list(_rows(path, duplicates.COLUMNS))
    wanted = {(cell.encode('utf-8', 'surrogateescape'), label)
              for _, row in rows for cell, label in (row[:2], row[2:4])}
    paths, places = {path for path, _ in wanted}, {}
    for i, name in enumerate(names if wanted else ()):
        if name in paths:
            places.setdefault((name, train.class_names[train.labels[i]]), []).append(i)
    found = []
    for number, row in rows:
        keys = [(cell.encode('utf-8', 'surrogateescape'), label)
                for cell, label in (row[:2], row[2:4])]
        try:
            second = 1 if keys[0] == keys[1] else 0  # a copy under the same name
            found.append((places[keys[0]][0], places[keys[1]][second], float(row[4])))
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(f'{path}: line {number} names an image or a label that is not in '
                             f'{train.origin}; expected the list of this audit.') from error
    return found


def _rows(path, columns):
    """Yields (line, list of cells) of a table of the audit."""
    with clean_list.rows(path, 'a table of bsce audit') as lines:
        header = tuple(next(lines, ()))
        if header != columns:
            raise InputError(f'{path}: found the columns {", ".join(header)}; expected '
                             f'{", ".join(columns)}.')
        for row in filter(None, lines):
            if len(row) != len(columns):
                raise InputError(f'{path}: line {lines.line_num} has {len(row)} cells; expected '
                                 f'{len(columns)}.')
            yield lines.line_num, row


def _once(indices):
    return np.array(list(dict.fromkeys(indices)), np.int64)
