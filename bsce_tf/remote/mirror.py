"""A workdir in a bucket: a folder of this machine in which a command works, kept the same there.

A bucket has no rename, no lock and no way to add to a file. So the command works in a folder of the
cache. Every file that appears there by `files.replacing` is in the bucket, by one whole PUT, before
the command goes on; all others, such as lists that grow, follow every `_EVERY` seconds and at the
end. A command that is killed resumes on any machine: what is in the bucket is what counts. If
another machine went on with it, what this one had not sent is put aside, never lost.

A lease keeps two commands from working in one folder, see `leases`.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import threading
import time

from absl import logging

from bsce_tf import files, locks, storage
from bsce_tf.errors import InputError, RunError
from bsce_tf.remote import leases

_EVERY = 20.0  # seconds between two times that what has changed is sent
_NOT_READ = 'checkpoints'  # folders of states, which only a resumed run needs


@contextlib.contextmanager
def held(address):
    """Yields the folder in which to work on a workdir in a bucket, alone.

    Args:
      address: of the workdir, s3://… and the like.

    Raises:
      InputError: for a web server, to which nothing can be written.
      InUseError: if another process works there.
      StorageError: if the bucket does not answer.
    """
    _check(address)
    digest = hashlib.sha256(address.rstrip('/').encode()).hexdigest()[:32]
    folder = files.cache_folder() / 'workdirs' / digest
    with locks.held(folder.parent, f'.{digest}.lock'), leases.leased(address) as lease:
        mirror = Mirror(address, folder / 'run', folder / 'sent.json', lease)
        mirror.pull()
        print(f'{address}: worked on in {mirror.folder}', flush=True)
        with mirror.kept():
            yield mirror.folder


@contextlib.contextmanager
def copied(address):
    """Yields a copy of a workdir in a bucket for a command that reads it; what it adds is sent.

    Checkpoints are left out. Arguments and errors as `held`.
    """
    _check(address)
    there = {path: version for path, version in storage.versions(address).items()
             if path != leases.NAME and _NOT_READ not in path.split('/')[:-1]}
    if not there:
        raise InputError(f'--workdir: {address}: no such folder; expected a run.')
    above = files.cache_folder() / 'workdirs'
    above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='copy-', dir=above) as folder:
        mirror = Mirror(address, pathlib.Path(folder, 'run'), pathlib.Path(folder, 'sent.json'))
        mirror.fetch(there)
        print(f'{address}: a copy is in {mirror.folder}', flush=True)
        try:
            yield mirror.folder
        finally:
            mirror.send()


def _check(address):
    storage.check(address, '--workdir')
    if storage.scheme(address) in ('http', 'https'):
        raise InputError(f"--workdir: found '{address}'; expected a folder, or an address in a "
                         'bucket: nothing can be written to a web server.')


class Mirror:
    """A folder of this machine and one in a bucket.

    Args:
      address: of the one in the bucket.
      folder: pathlib.Path of the other.
      sent: pathlib.Path of the JSON file with what was the same in both when one was last changed:
        {path: [size, time of change, version in the bucket]}.
      lease: a `leases.Lease`, without which files are only added; or None.
    """

    def __init__(self, address, folder, sent, lease=None):
        self.address, self._sent, self._lease = address, sent, lease
        self.folder = pathlib.Path(os.path.abspath(folder))
        self._lock, self._failed = threading.RLock(), None
        try:
            self._known = json.loads(sent.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            self._known = {}

    def pull(self):
        """Makes the folder as the bucket is, and sends what a killed process had not sent.

        Files that are gone here are fetched again: a cache that was emptied empties no bucket.
        """
        there = {path: version for path, version in storage.versions(self.address).items()
                 if path != leases.NAME}
        known = {path: tuple(version) for path, (*_, version) in self._known.items()}
        if there != known and self._changed():
            aside = self.folder.with_name(f'run-{time.strftime("%Y%m%d-%H%M%S")}')
            os.rename(self.folder, aside)
            logging.warning('%s: was changed since this machine last sent to it; what it had not '
                            'sent is in %s.', self.address, aside)
        for path in self._removed():
            del self._known[path]
        self.fetch(there)
        self.send()

    def fetch(self, there):
        """Fetches what differs of {path: version}, and removes files that are not among them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in set(self._known) - set(there):
            (self.folder / path).unlink(missing_ok=True)
            del self._known[path]
        for path, version in there.items():
            if path not in self._known or self._known[path][2] != list(version):
                place = self.folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                storage.fetch(storage.join(self.address, path), place)
                self._known[path] = [*_state(place), list(version)]
        self._write()

    def send(self):
        """Sends what has changed, the latest last, and removes what is gone from the bucket.

        Raises:
          RunError: if the lease is lost.
          StorageError: if the bucket does not answer.
        """
        with self._lock:
            if not self.folder.is_dir():  # else all would be removed from the bucket
                raise RunError(f'{self.folder}: is gone; expected the folder in which '
                               f'{self.address} is worked on.')
            changed = self._changed()
            removed = self._removed() if self._lease else []
            if not changed and not removed:
                return
            if self._lease:
                self._lease.check()
            for path in changed:
                place = self.folder / path
                if (state := _state(place)) is None:  # it has just gone
                    continue
                try:
                    version = storage.send(place, storage.join(self.address, path))
                except InputError:
                    if place.exists():
                        raise
                    continue
                self._known[path] = [*state, list(version)]
                self._write()
            for path in removed:
                storage.remove(storage.join(self.address, path))
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
                except (RunError, InputError, OSError) as error:
                    self._failed = error  # the command ends with the next file that it writes
                    return

        def appeared(path):
            if self.folder in pathlib.Path(os.path.abspath(path)).parents:
                if self._failed:
                    raise self._failed
                self.send()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        files.watchers.append(appeared)
        try:
            yield
        finally:
            files.watchers.remove(appeared)
            stop.set()
            thread.join()
            if self._failed:
                raise self._failed
            self.send()

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
        for path in self.folder.rglob('*'):
            if path.is_file() and not files.is_leftover(path) and not path.name.endswith(
                    locks.NAME):
                yield str(path.relative_to(self.folder))

    def _write(self):
        files.write_json(self._sent, self._known)


def _state(path):
    """[size, time of change in ns] of a file; None of one that has just gone."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]
