"""The section on an audit: estimated noise, by class, and the labels most probably wrong."""

import csv
import json
import pathlib
import shlex
from typing import NamedTuple

import numpy as np
from absl import logging

from bsce_tf import files
from bsce_tf.audit import audit
from bsce_tf.data import clean_list
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, StorageError
from bsce_tf.report.markup import bar_cell, count, element, folded, join, rate, table
from bsce_tf.training import workdir

_SHOWN, _OPEN = 100, 24  # worst labels, at most, and of them at once
_CLASSES = 24  # classes with the most noise, at most
_EXAMPLES = 2  # images of a class beside a wrong label


class Audit(NamedTuple):
    """The files of one audit.

    Attributes:
      folder: pathlib.Path.
      name: shown on the page.
      summary: the dict of audit.json.
      rows: the first rows of label_issues.csv, as dicts.
      train: the `Examples` that were audited; None if they cannot be read.
      scores: arrays of scores.npz, in the order of `train`; None without it.
      max_pixels: larger images are not decoded; 0: no limit.
      clean: `data.clean` with which to train on what the audit keeps.
      note: `Markup` that says what is missing, or None.
    """

    folder: pathlib.Path
    name: str
    summary: dict
    rows: list
    train: Examples | None
    scores: dict | None
    max_pixels: int
    clean: str
    note: str | None


def present(folder):
    """Whether a folder holds an audit."""
    return (folder / audit.ISSUES).exists()


def read(folder, name):
    """The `Audit` in a folder.

    Raises:
      InputError: if a file of it is missing or damaged. For missing images `note` is set.
    """
    try:
        summary = json.loads((folder / audit.SUMMARY).read_text(encoding='utf-8'))
        config = workdir.config_of(folder)
        about = workdir.json_of(folder / workdir.DATA)
        with open(folder / audit.ISSUES, newline='', encoding='utf-8',
                  errors='surrogateescape') as file:
            rows = [row for _, row in zip(range(_SHOWN), csv.DictReader(file), strict=False)]
        _check(summary, rows)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f'{folder}: {error}; expected the files that bsce audit wrote.'
                         ) from error
    train = scores = note = None
    clean = files.address(folder / audit.CLEANED)
    try:
        verified, _ = clean_list.places(config.data.clean)  # broken images stay out
        clean = ','.join(filter(None, (verified, clean)))
        train = audit.load(config).splits.train
        if records.differing(about, {'fingerprint': records.fingerprint(train),
                                     'contents': records.contents(train)}):
            raise InputError('the training images or labels are others than those of the audit')
        with np.load(folder / audit.SCORES) as arrays:
            scores = dict(arrays)
        if len(scores['score']) != len(train):
            raise InputError(f'{audit.SCORES} is of {len(scores["score"])} images and not of '
                             f'{len(train)}')
    except (InputError, StorageError, OSError, KeyError, ValueError) as error:
        logging.warning('%s: its data cannot be read: %s', folder, error)
        train = None
        note = element('p', f'Images cannot be shown: {error}', class_='note')
    return Audit(folder, name, summary, rows, train, scores, config.data.max_pixels, clean,
                 note)


def section(found, thumbnails):
    """The section of one audit.

    Args:
      found: an `Audit`.
      thumbnails: a `thumbnails.Thumbnails`.
    """
    told = found.summary
    groups = table(('group', 'classes', 'images', 'listed', 'dropped', 'relabelled'),
                   [(name, *(count(group[key]) for key in (
                       'classes', 'images', 'listed', 'dropped', 'relabelled')))
                    for name, group in told['groups'].items()],
                   'Listed, dropped and relabelled images by size of the given class',
                   (1, 2, 3, 4, 5))
    shown = _text_table(found) if found.train is None else _pictures(found, thumbnails)
    return join([_findings(found), groups, _classes(told), element('h3', 'Worst labels'),
                 found.note, shown])


def _findings(found):
    """What a person wants to know first: how good the labels are, and what to do next."""
    told = found.summary
    good = (f'{audit.describe(told)} {count(told["listed"])} of {count(told["images"])} training '
            f'labels are doubtful. {audit.CLEANED} drops {count(told["dropped"])} images and '
            f'relabels {count(told["relabelled"])}.')
    advice = []
    if told['listed']:
        advice.append(join([
            'Look at the doubtful labels and correct them: ',
            element('code', f'bsce review --workdir={shlex.quote(str(found.folder))}'), '.']))
    if told['dropped'] or told['relabelled']:
        advice.append(join([
            'Or train in a new folder on the labels that are left: ',
            element('code', f'--config.data.clean={shlex.quote(found.clean)}'), '.']))
    return element(
        'div', element('div', element('h3', 'How good are the labels?'), element('p', good)),
        *([element('div', element('h3', 'What to do next?'), element(
            'ul', *(element('li', text) for text in advice)))] if advice else []),
        class_='findings')


def _classes(told):
    worst = sorted(told['classes'].items(),
                   key=lambda item: (-(item[1]['noise'] or 0), -item[1]['images']))[:_CLASSES]
    rows = [(name, bar_cell(of['noise'], rate(of['noise'])), *(count(of[key]) for key in (
        'images', 'listed', 'dropped', 'relabelled'))) for name, of in worst]
    return table(('class', 'estimated noise', 'images', 'listed', 'dropped', 'relabelled'), rows,
                 'Classes with the highest estimated share of wrong labels', (1, 2, 3, 4, 5))


def _text_table(found):
    return table(('image', 'given label', 'suggested', 'score'),
                 [(row['path'], row['given_label'], row['suggested_label'], row['score'])
                  for row in found.rows], 'Labels that are most probably wrong', (3,))


def _pictures(found, thumbnails):
    scores = found.scores
    listed = np.flatnonzero(scores['listed'])
    worst = listed[np.argsort(scores['score'][listed], kind='stable')][:_SHOWN]
    if not len(worst):
        return element('p', 'No label is listed.')
    note = (f'The {count(len(worst))} lowest scores, worst first, each beside the images of the '
            'given and of the suggested class whose own labels have the highest scores.')
    return join([element('p', note, class_='soft'), *folded(
        [_item(found, thumbnails, i) for i in worst], 'doubts', _OPEN, 'label')])


def _item(found, thumbnails, i):
    train, scores = found.train, found.scores
    names = train.class_names
    given, suggested = names[scores['given'][i]], names[scores['suggested'][i]]
    score = f'{scores["score"][i]:.2g}'
    alt = f'{given}, probably {suggested}, score {score}: {train.name(i)}'
    return element(
        'li', thumbnails.image(train, i, alt),
        element('div', element('h4', given, ' → ', suggested), element(
            'p', f'{train.name(i)}, ', element('span', f'score {score}'), class_='soft'), element(
            'div', _side(found, thumbnails, scores['given'][i], 'given'),
            _side(found, thumbnails, scores['suggested'][i], 'suggested'), class_='sides')),
        data_issue=train.name(i))


def _side(found, thumbnails, label, kind):
    """The images of a class with the highest scores that are not listed."""
    train, scores = found.train, found.scores
    places = np.flatnonzero((scores['given'] == label) & ~scores['listed'])
    best = np.nan_to_num(scores['score'][places], nan=-1.0)
    places = places[np.argsort(-best, kind='stable')][:_EXAMPLES]
    name = train.class_names[label]
    pictures = [thumbnails.image(train, i, f'{name}, example: {train.name(i)}') for i in places]
    text = kind if len(places) else f'{kind}: no image of it is beyond doubt'
    return element('figure', element('div', *pictures, class_='row'),
                   element('figcaption', text))


def _check(summary, rows):
    """Raises KeyError or TypeError if something to show is missing."""
    for part in (summary, *summary['classes'].values(), *summary['groups'].values()):
        for name in ('images', 'listed', 'dropped', 'relabelled'):
            int(part[name])
    for part in (summary, *summary['classes'].values()):
        if not (part['noise'] is None and audit.networks_of(summary)['weak']):
            float(part['noise'])
    audit.describe(summary)
    for row in rows:
        for name in audit.COLUMNS:
            row[name] + ''
