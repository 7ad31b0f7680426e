"""What other programs are given of an image, and what they give back."""

import os
import pathlib
from typing import NamedTuple

from absl import logging

from bsce_tf import storage
from bsce_tf.data import decisions
from bsce_tf.errors import InputError
from bsce_tf.review import catalogue, store


class Item(NamedTuple):
    """An image to decide on.

    Attributes:
      index: of the image.
      file: its path below `Examples.root`, as a text.
      given, suggested: names of its class as audited, and of the one that the networks take it for;
        the same where they doubt nothing.
      best: names of the classes to choose from: given, suggested and the networks' best.
      wrong: probability that the given label is wrong; None without a prediction.
      key: (path, label before any audit, copy) as a `decisions.Decision` has them.
      sha256: of the file.
    """

    index: int
    file: str
    given: str
    suggested: str
    best: list
    wrong: float | None
    key: tuple
    sha256: str


class Answer(NamedTuple):
    """A decision that another program took.

    Attributes:
      index: of the image.
      label: name of its class; '' to remove it, None to decide later.
      sha256: of the image that was looked at.
      reviewer: who decided; '' if that is not known.
      where: file and place, for messages.
    """

    index: int
    label: str | None
    sha256: str
    reviewer: str
    where: str


def still_open(found, decided):
    """List of the `Item`s of a `catalogue.Catalogue` on which nobody decided, in its order.

    Raises:
      InputError: if the images are not files.
    """
    train = found.train
    if train.paths is None:
        raise InputError(f'review.write: the images of {train.origin} are not files of their own, '
                         'which other programs need; expected another source, or the page.')
    names, key = train.class_names, decisions.keys(found.before)
    items, left_out = [], 0
    for index in dict.fromkeys(int(i) for name in catalogue.LISTS for i in found.lists[name]):
        if decided.status[index] == store.DECIDED:
            continue
        file = os.fsdecode(train.paths[index])
        try:
            file.encode('utf-8')
            digest = decisions.digest(train, index)
        except (UnicodeEncodeError, InputError):
            left_out += 1
            continue
        given, k = names[train.labels[index]], catalogue.taken_for(found, index)
        suggested = names[k] if k >= 0 else given
        best = [names[k] for k in found.best[index].tolist() if k >= 0]
        wrong = float(found.wrong[index])
        items.append(Item(index, file, given, suggested,
                          list(dict.fromkeys([given, suggested, *best])),
                          None if wrong != wrong else wrong, key(index), digest))
    if left_out:
        logging.warning('%s: %d images are left out: they cannot be read, or their names are not '
                        'UTF-8. The page shows them.', train.origin, left_out)
    return items


def absolute(train, file):
    """Path of an image's file from the root of the file system, without links resolved; or its
    address.
    """
    if storage.is_address(train.root):
        return storage.join(train.root, file)
    return str(pathlib.Path(os.path.abspath(train.root), file))


def places(found):
    """{(path, label before any audit, copy): index} of the images in the lists of a catalogue."""
    key = decisions.keys(found.before)
    return {key(i): int(i) for name in catalogue.LISTS for i in found.lists[name]}
