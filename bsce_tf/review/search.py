"""Finds classes by parts of their names, among tens of thousands in milliseconds."""

import re
import unicodedata

MOST = 50  # classes of an answer


class Search:
    """Search in K class names.

    Args:
      names: K strings; position is the class id.
    """

    def __init__(self, names):
        self._names = [_plain(name) for name in names]

    def find(self, text):
        """Class ids of at most `MOST` names that have all words of a text, best first.

        Case and accents do not count. Best are equal names, then those that begin with the text,
        then those with a word that does; among these, shorter ones first.
        """
        wanted = _plain(text)
        words = wanted.split()
        if not words:
            return []
        begin = re.compile(r'\b' + re.escape(wanted)).search
        found = [(_rank(name, wanted, begin), len(name), k) for k, name in enumerate(self._names)
                 if all(word in name for word in words)]
        return [k for _, _, k in sorted(found)[:MOST]]


def _rank(name, wanted, begin):
    if name == wanted:
        return 0
    return 1 if name.startswith(wanted) else 2 if begin(name) else 3


def _plain(text):
    """Lower case without accents, and one space between words."""
    parts = unicodedata.normalize('NFKD', text.casefold())
    return ' '.join(''.join(c for c in parts if not unicodedata.combining(c)).split())
