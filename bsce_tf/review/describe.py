"""What the page is told of an image, as a dict for JSON."""

import numpy as np

from bsce_tf.data import decisions
from bsce_tf.report.markup import printable
from bsce_tf.review import catalogue, view

EXAMPLES = 3  # pictures of a class
_TRIED = 64  # images of a class of which these are chosen
_TWINS = 4


class Describer:
    """Describes the images of a catalogue.

    Args:
      found: a `catalogue.Catalogue`.
      store: a `store.Store`.
      pictures: a `pictures.Pictures`.
    """

    def __init__(self, found, store, pictures):
        self._found, self._store, self._pictures = found, store, pictures
        labels = found.train.labels
        good = np.flatnonzero(~found.listed)
        scores = np.nan_to_num(found.scores[good], nan=-1.0)
        self._order = good[np.lexsort((-scores, labels[good]))]
        self._begins = np.searchsorted(labels[self._order], np.arange(found.train.num_classes + 1))

    def answer(self, asked, place='next'):
        """The dict that shows an image of a list and the state of the review.

        Args:
          asked: a `view.View`.
          place: in the list; 'next': the one after (or before) `asked.place`.
        """
        images = self._found.lists[asked.name]
        passes, status = view.passing(asked, self._found), self._store.status[images]
        if place == 'next':
            place = view.next_place(asked, passes, status)
        after = None
        if place is not None:
            after = view.next_place(asked._replace(place=place, step=1), passes, status)
        counts = np.bincount(status[passes], minlength=3).tolist()
        return {'list': asked.name, 'place': -1 if place is None else place,
                'item': None if place is None else self.item(asked.name, int(images[place])),
                'ahead': self._ahead(images, place, after),
                'total': sum(counts), 'open': counts[0], 'decided': counts[1],
                'skipped': counts[2], 'rate': self._store.rate()}

    def item(self, name, index):
        """The dict of one image of a list."""
        found, state = self._found, self._store.state(index)
        facts = self._pictures.facts(index)
        twins = found.twins.get(index, [])[:_TWINS]
        given, suggested = int(found.train.labels[index]), self._suggested(name, index)
        return {
            'index': index, 'name': printable(found.train.name(index)),
            'height': facts.height, 'width': facts.width, 'problem': printable(facts.problem),
            'digest': facts.digest,
            'score': _number(found.scores[index]), 'wrong': _number(found.wrong[index]),
            'given': self.of_class(given, index),
            'suggested': None if suggested is None else self.of_class(suggested, index),
            'best': [{**self.named(k), 'probability': float(p)} for k, p in zip(
                found.best[index].tolist(), found.probabilities[index].tolist(), strict=True)
                if k >= 0],
            'twins': [{'index': other, 'name': printable(found.train.name(other)),
                       'cosine': cosine, 'label': self._now(other)} for other, cosine in twins],
            'decision': state.decision, 'version': state.version,
            'label': None if state.label < 0 else self.named(state.label)}

    def _ahead(self, images, place, after):
        """{'index', 'digest'} of the image that comes next, so that the page loads it; or None."""
        if after in (None, place):
            return None
        index = int(images[after])
        return {'index': index, 'digest': self._pictures.digest(index)}

    def named(self, k):
        """{'id', 'name', 'images'} of a class."""
        return {'id': int(k), 'name': printable(self._found.train.class_names[k]),
                'images': int(self._found.counts[k])}

    def of_class(self, k, index):
        """A class with indices of up to `EXAMPLES` pictures, not the image itself."""
        own = self._order[self._begins[k]:self._begins[k + 1]][:_TRIED]
        own = own[(self._store.labels[own] == k) & (own != index)][:EXAMPLES]
        return {**self.named(k), 'examples': own.tolist()}

    def _suggested(self, name, index):
        """Class id, or None: that of the audit; in lists of pairs that of the other image."""
        found = self._found
        own = found.train.labels[index]
        if name in (catalogue.ISSUES, catalogue.SAMPLE):
            k = catalogue.taken_for(found, index)
            return None if k in (-1, own) else k
        others = (int(self._store.labels[other]) for other, _ in found.twins[index])
        return next((k for k in others if k >= 0 and k != own), None)

    def _now(self, index):
        """Name of an image's class after the decisions so far."""
        k = int(self._store.labels[index])
        return 'removed' if k < 0 else printable(self._found.train.class_names[k])


def label_of(decision, label, given, num_classes):
    """Class id that a decision gives an image, −1 for none.

    Raises:
      ValueError: if there is no such decision or class.
    """
    if decision == decisions.KEEP:
        return given
    if decision in (decisions.REMOVE, decisions.SKIP):
        return -1
    if decision not in (decisions.SUGGESTION, decisions.ANOTHER) or type(label) is not int or (
            not 0 <= label < num_classes):
        raise ValueError('no such decision or class')
    return label


def _number(value):
    return None if np.isnan(value) else float(value)
