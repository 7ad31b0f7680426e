"""A workdir in a bucket: a folder of this machine in which a command works, kept the same there.

A bucket has no rename, no lock and no way to add to a file. So the command works in a folder of the
cache. Every file that appears there by `files.replacing` is in the bucket, by one whole PUT, before
the command goes on; all others, such as lists that grow, follow every `_EVERY` seconds and at the
end. A command that is killed resumes on any machine: what is in the bucket is what counts. Where it
is not what this machine last knew, files that were not sent, and files that are gone there, are put
aside, never lost.

A lease keeps two commands from working in one folder, see `leases`; for several processes of one
work see `shared`.
"""

import contextlib
import os
import pathlib
import threading
import time

from absl import logging

from bsce_tf import files, locks, storage
from bsce_tf.errors import InputError, InUseError, RunError
from bsce_tf.remote import leases

_EVERY = 20.0  # seconds between two times that what has changed is sent
_CONFIG = 'config.json'  # which no command removes
_PRUNED = 'checkpoints'  # folder from which every run removes old files


class Mirror:
    """A folder of this machine and one in a bucket.

    Args:
      address: of the one in the bucket.
      folder: pathlib.Path of the other.
      sent: pathlib.Path of a JSON file for what is `known`.
      known: dict of `lease`, name of the last one that was held here, and `files`: {path: [size,
        time of change, version in the bucket]} of what was the same in both when it was noted.
      lease: a `leases.Lease`.
    """

    def __init__(self, address, folder, sent, known, lease):
        self.address, self._sent, self._lease = address, sent, lease
        self.folder, self._known = pathlib.Path(os.path.abspath(folder)), known['files']
        self._own = bool(lease.before) and lease.before == known['lease']
        self._aside = sent.with_name(f'aside-{time.strftime("%Y%m%d-%H%M%S")}')
        self._mine = set()  # paths that this process has sent, or removed on purpose
        self._lock, self._lost = threading.RLock(), None

    def pull(self):
        """Makes the folder as the bucket is, and sends what a killed process had not sent.

        Files that are gone here are fetched again: a cache that was emptied empties no bucket.
        """
        there = self._there()
        wanted = self._wanted(there, self._unsent(there))
        size = sum(size for size, _ in wanted.values())
        print(f'{self.address}: worked on in {self.folder}' + (
            f'; fetching {len(wanted):,} files, {size / 1e6:,.1f} MB' * bool(wanted)), flush=True)
        self._fetch(wanted)
        self.send()

    def place(self, path):
        """Address of what mirrors `folder` or a path below it, the same for all processes."""
        below = pathlib.Path(os.path.abspath(path)).relative_to(self.folder)
        return storage.join(self.address, str(below)) if below.parts else self.address

    # What differs where other processes change the bucket meanwhile, see `shared.Shared`.

    def refresh(self):
        """Does nothing: no other process changes the bucket."""

    def has(self, path):
        """Whether the bucket has a file that is not here."""
        return False

    def names(self, folder):
        """Names of the files of a folder that are only in the bucket."""
        return set()

    def joining(self, folder, name):
        """Context manager: no other process joins the parts of `name` in a folder."""
        return contextlib.nullcontext()

    def _there(self):
        """{path: version} of what is in the bucket."""
        return {path: version for path, version in storage.versions(self.address).items()
                if not leases.is_one(path)}

    def _unsent(self, there):
        """Puts aside what another machine has overtaken; gives the paths that are to be sent."""
        changed = set(self._changed())
        noted = {path: tuple(version) for path, (*_, version) in self._known.items()}
        if changed and not self._own and noted != there:
            self._put_aside(self.folder, self._aside, 'not all of this machine was sent')
            self._known.clear()
            return set()
        return changed

    def _wanted(self, there, changed):
        """What is to be fetched of `there`, {path: version}, after what is gone there is gone here.

        Files that have `changed` here stay.
        """
        for path in set(self._known) - set(there):
            if path not in changed:
                self._gone(path, there)
            del self._known[path]
        for path in self._removed():
            del self._known[path]
        self._write()
        return {path: version for path, version in there.items() if path not in changed and (
            self._known.get(path, [None])[-1] != list(version))}

    def _gone(self, path, there):
        """Removes a file that is gone from the bucket, or puts it aside."""
        place, (folder, _, name) = self.folder / path, path.rpartition('/')
        if not place.is_file():
            return
        if os.path.basename(folder) == _PRUNED and any(
                other.startswith(f'{folder}/') and other > path for other in there):
            place.unlink()  # a run keeps the newest
        else:
            self._put_aside(place, self._aside / path, f'{name} is gone there')

    def _put_aside(self, place, aside, why):
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.rename(place, aside)
        logging.warning('%s: was changed since this machine last worked on it, and %s; what was '
                        'here is in %s.', self.address, why, aside)

    def _fetch(self, wanted):
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, version in wanted.items():
            self._fetch_file(path, version)

    def _fetch_file(self, path, version):
        place, fetched = self.folder / path, self._sent.with_name('fetched')
        place.parent.mkdir(parents=True, exist_ok=True)
        storage.fetch(storage.join(self.address, path), fetched)  # elsewhere, so it is not sent
        os.replace(fetched, place)
        self._known[path] = [*_state(place), list(version)]
        self._write()

    def send(self):
        """Sends what has changed, the latest last, and removes what this process has sent and
        removed, and old checkpoints.

        Raises:
          RunError: if the lease is lost, or the folder is.
          StorageError: if the bucket does not answer.
        """
        with self._lock:
            changed, removed = self._changed(), self._removed()
            if not self.folder.is_dir() or _CONFIG in removed:  # nobody here has removed them
                raise RunError(f'{self.folder}: is gone, or its {_CONFIG} is; expected the folder '
                               f'in which {self.address} is worked on.')
            for path in changed:
                place = self.folder / path
                if (state := _state(place)) is None:  # it has just gone
                    continue
                self._lease.check()
                try:
                    version = storage.send(place, storage.join(self.address, path))
                except InputError:
                    if place.exists():
                        raise
                    continue
                self._known[path] = [*state, list(version)]
                self._mine.add(path)
                self._write()
            for path in removed:
                if path in self._mine or _PRUNED in path.split('/'):
                    self._lease.check()
                    storage.remove(storage.join(self.address, path))
                else:  # whoever cleans a cache cleans no bucket
                    logging.warning('%s: is gone; it stays in %s.', self.folder / path,
                                    self.address)
                del self._known[path]
                self._write()

    @contextlib.contextmanager
    def kept(self):
        """Context manager: the bucket follows the folder."""
        stop = threading.Event()

        def follow():
            while not stop.wait(_EVERY):
                try:
                    self.send()
                except InUseError as error:  # the command ends with the next file that it writes
                    logging.error('%s', error)
                    self._lost = error
                    return
                except Exception as error:
                    logging.warning('%s', error)

        def appeared(path):
            if self.folder in pathlib.Path(os.path.abspath(path)).parents:
                if self._lost:
                    raise self._lost
                self.send()

        def removed(path):
            path = pathlib.Path(os.path.abspath(path))
            if self.folder in path.parents:
                self._mine.add(str(path.relative_to(self.folder)))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        files.watchers.append(appeared)
        files.removers.append(removed)
        files.mirrors.append(self)
        try:
            yield
        except BaseException:
            self._end(stop, thread, appeared, removed)
            try:
                self.send()
            except (RunError, InputError, OSError) as error:  # the first reason counts
                logging.error('%s', error)
            raise
        self._end(stop, thread, appeared, removed)
        self.send()
        self._lease.check()

    def _end(self, stop, thread, appeared, removed):
        files.watchers.remove(appeared)
        files.removers.remove(removed)
        files.mirrors.remove(self)
        stop.set()
        thread.join()

    def _changed(self):
        """Paths of files that differ from what was sent, in the order in which they changed."""
        found = []
        for path in self._files():
            state = _state(self.folder / path)
            if state and self._known.get(path, [])[:2] != state:
                found.append((state[1], path))
        return [path for _, path in sorted(found)]

    def _removed(self):
        return sorted(path for path in self._known if not (self.folder / path).is_file())

    def _files(self):
        for folder, _, names in os.walk(self.folder):  # folders that vanish meanwhile are none
            for name in names:
                path = pathlib.Path(folder, name)
                if not files.is_leftover(path) and not name.endswith(locks.NAME):
                    yield str(path.relative_to(self.folder))

    def _write(self):
        files.write_json(self._sent, {'lease': self._lease.name, 'files': self._known})


def _state(path):
    """[size, time of change in ns] of a file; None of one that has just gone."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]
