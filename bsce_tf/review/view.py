"""What a page asks for: a list, filters, and where it stands in it."""

from typing import NamedTuple

import numpy as np

from bsce_tf.review import catalogue, store

SHOWN = {'open': (store.OPEN,), 'skipped': (store.SKIPPED,), 'decided': (store.DECIDED,),
         'all': (store.OPEN, store.SKIPPED, store.DECIDED)}


class View(NamedTuple):
    """A list with filters.

    Attributes:
      name: one of `catalogue.LISTS`.
      show: a key of `SHOWN`.
      given: class id; None for all.
      sizes: (smallest, largest) number of images of the given class.
      scores: (lowest, highest) score of the audit; an image without a score passes only if neither
        is set.
      place: in the whole list, of the image that is shown; −1 before the first.
      step: 1 for the next image, −1 for the one before.
    """

    name: str
    show: str
    given: int | None
    sizes: tuple
    scores: tuple
    place: int
    step: int


def parse(values, num_classes):
    """The `View` of a dict of texts and numbers, as the page sends it.

    Raises:
      ValueError: if a value is none that the page sends.
    """
    name, show = str(values.get('list') or 'issues'), str(values.get('show') or 'open')
    given = values.get('given')
    given = None if given in (None, '') else int(given)
    step = int(values.get('step', 1))
    if name not in catalogue.LISTS or show not in SHOWN or step not in (-1, 1) or (
            given is not None and not 0 <= given < num_classes):
        raise ValueError('no such list or class')
    return View(name, show, given, _range(values, 'size'), _range(values, 'score'),
                int(values.get('place', -1)), step)


def passing(view, found):
    """bool `[n]`: which images of the list pass the filters but `show`.

    Args:
      view: a `View`.
      found: a `catalogue.Catalogue`.
    """
    images = found.lists[view.name]
    labels = found.train.labels[images]
    passes = np.ones(len(images), bool)
    if view.given is not None:
        passes &= labels == view.given
    for values, (low, high) in ((found.counts[labels], view.sizes),
                                (found.scores[images], view.scores)):
        if low is not None:
            passes &= values >= low
        if high is not None:
            passes &= values <= high
    return passes


def next_place(view, passes, status):
    """Place of the image to show, or None.

    Past the end it goes on at the other end of the list, so that nothing is left behind there.

    Args:
      view: a `View`.
      passes: of `passing`.
      status: int8 `[n]`, of the images of the list.
    """
    places = np.flatnonzero(passes & np.isin(status, SHOWN[view.show]))
    if not len(places):
        return None
    if view.step == 1:
        later = np.searchsorted(places, view.place, side='right')
        return int(places[later % len(places)])
    return int(places[np.searchsorted(places, view.place, side='left') - 1])


def _range(values, name):
    ends = (values.get(f'{name}_from'), values.get(f'{name}_to'))
    return tuple(None if end in (None, '') else float(end) for end in ends)
