"""A workdir in a bucket that several processes of one work use: parts, or workers of a run.

Each process has a folder and a lease of its own. It sends what it writes, and fetches what others
have sent when it is about to use that: see `files.refresh` and `division.join`. No two processes
may write one file, unless they write the same.
"""

from absl import logging

from bsce_tf import division, storage
from bsce_tf.errors import InputError
from bsce_tf.remote import leases
from bsce_tf.remote.mirror import Mirror

_ONLY_THERE = ('.array_record',)  # shards of packs: others' are not needed here
_TRIES = 3  # to fetch a file that another process just writes


class Shared(Mirror):
    """A `Mirror` of a folder that other processes change meanwhile."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._names = set()  # of all files there

    def refresh(self):
        """Sends what has changed here, and fetches or removes what others have sent or removed."""
        with self._lock:
            self.send()
            self._fetch(self._wanted(self._there(), set(self._changed())))

    def has(self, path):
        """Whether the bucket had the file when it was last looked at; `path` is one below `folder`.
        """
        return str(path.relative_to(self.folder)) in self._names

    def names(self, folder):
        """Names of the files of a folder, a path below `folder`, that the bucket had then."""
        below = '' if folder == self.folder else f'{folder.relative_to(self.folder)}/'
        return {name.removeprefix(below) for name in self._names
                if name.startswith(below) and '/' not in name.removeprefix(below)}

    def joining(self, folder, name):
        """Context manager: no other process joins the parts of `name` in a folder.

        Raises:
          InUseError: if one does.
        """
        where = '-'.join(folder.relative_to(self.folder).parts)
        return leases.leased(self.address, '', f'join-{where}-{name}')

    def _there(self):
        there = super()._there()
        self._names = set(there)
        return there

    def _unsent(self, there):
        changed = set(self._changed())
        for path in sorted(changed):
            noted = tuple(self._known[path][-1]) if path in self._known else None
            if there.get(path) != noted:
                self._put_aside(self.folder / path, self._aside / path, f'{path} is another there')
                self._known.pop(path, None)
                changed.remove(path)
        return changed

    def _gone(self, path, there):
        if division.is_of_part(path):  # others have joined it
            (self.folder / path).unlink(missing_ok=True)
        else:
            super()._gone(path, there)

    def _wanted(self, there, changed):
        return {path: version for path, version in super()._wanted(there, changed).items()
                if not path.endswith(_ONLY_THERE)}

    def _fetch_file(self, path, version):
        for _ in range(_TRIES):
            try:
                return super()._fetch_file(path, version)
            except InputError:
                address = storage.join(self.address, path)
                if not storage.exists(address):  # another process has removed it
                    return None
                before, version = version, storage.version(address)
                if version == before:
                    raise
        return logging.info('%s: is written all the time; left for later', path)
