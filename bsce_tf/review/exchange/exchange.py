"""Runs an exchange: reads what another program decided, then writes what is still open."""

from absl import logging

from bsce_tf.data import decisions
from bsce_tf.errors import InputError, alike
from bsce_tf.review import catalogue
from bsce_tf.review.exchange import fiftyone, items, label_studio

_PROGRAMS = {'label_studio': label_studio, 'fiftyone': fiftyone}


def run(fields, found, decided):
    """Reads decisions into the store, writes the images still open, or both.

    Args:
      fields: `config.review`.
      found: the `catalogue.Catalogue`.
      decided: its `store.Store`.

    Raises:
      InputError: if a file cannot be read or is of other images or classes; no decision is taken
        from it then.
    """
    program = _PROGRAMS[fields.program]
    if fields.read:
        _take(program.read(fields.read, found), fields.read, found, decided)
    if fields.write:
        print(program.write(fields.write, found, items.still_open(found, decided)))


def _take(answers, path, found, decided):
    """Appends decisions, but for those that stand already and those on images replaced since."""
    names = found.train.class_names
    ids = dict(zip(names, range(len(names)), strict=True))
    new = [(answer, *_decision(answer, found, ids)) for answer in answers]
    taken = replaced = 0
    for answer, word, label in new:
        state = decided.state(answer.index)
        if (state.decision, state.label) == (word, label):
            continue
        digest = _digest(found, answer)
        if digest is None:
            replaced += 1
            continue
        decided.decide(answer.index, word, label, state.version, digest, answer.reviewer)
        taken += 1
    if replaced:
        logging.warning('%s: %d images are gone or were replaced since; these decisions do not '
                        'count.', path, replaced)
    print(f'{path}: {len(answers):,} decisions, {taken:,} of them new')


def _decision(answer, found, ids):
    """(one of `decisions.WORDS`, class id or −1) of an `items.Answer`; `ids` of class names."""
    if answer.label is None:
        return decisions.SKIP, -1
    if not answer.label:
        return decisions.REMOVE, -1
    if answer.label not in ids:
        raise InputError(f"review.read: {answer.where}: found the class '{answer.label}'; expected "
                         f'one of the {len(ids)} classes{alike(answer.label, ids)}.')
    label = ids[answer.label]
    if label == found.train.labels[answer.index]:
        return decisions.KEEP, label
    suggested = label == catalogue.taken_for(found, answer.index)
    return (decisions.SUGGESTION if suggested else decisions.ANOTHER), label


def _digest(found, answer):
    """SHA-256 of the image as it was decided on, if that is how it is now; else None."""
    try:
        now = decisions.digest(found.train, answer.index)
    except InputError:
        return None
    return now if answer.sha256 in ('', now) else None
