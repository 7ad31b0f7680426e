"""Open files of the process, no more of them than it may have at once."""

import collections
import errno
import resource
import threading
import weakref

_ENOUGH = 1 << 16  # open files where the system sets no limit


class Handles:
    """Keeps what was opened and used last: at most half as many as the process may open files.

    What no longer fits is dropped, and closes when nobody uses it any more.
    """

    def __init__(self):
        self._open = collections.OrderedDict()  # (id of the owner, key) → handle, last used last
        self._owners = {}  # id → reference to the owner, whose handles go with it
        self._lock = threading.RLock()  # an owner may be collected while it is held

    def get(self, owner, key, make):
        """The handle of an owner under a key.

        Args:
          owner: any object that can be referred to weakly; with it go its handles.
          key: which of its handles.
          make: function that opens it. Where it raises OSError because too many files are open,
            others are dropped and it is called again.
        """
        place = id(owner), key
        with self._lock:
            if place not in self._open:
                self._owners.setdefault(id(owner), weakref.ref(owner, self._forgetting(id(owner))))
                self._open[place] = self._made(make)
            self._open.move_to_end(place)
            while len(self._open) > max(most_files() // 2, 1):
                self._open.popitem(last=False)
            return self._open.get(place)

    def _made(self, make):
        while True:
            try:
                return make()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                for _ in range((len(self._open) + 1) // 2):
                    self._open.popitem(last=False)

    def _forgetting(self, owner):
        def forget(_):
            with self._lock:
                self._owners.pop(owner, None)
                for place in [place for place in self._open if place[0] == owner]:
                    del self._open[place]
        return forget


def most_files():
    """How many files the process may have open (`ulimit -n`)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if limit == resource.RLIM_INFINITY else limit


OPEN = Handles()
