"""Leases: which process works on a workdir in a bucket, where there are no locks.

A lease is a small file that its owner writes anew every `_EVERY` seconds. One that does not change
for `_EXPIRED` seconds is taken over. Two that start within one second may both get it; the next
file that either sends ends the one whose lease was overwritten.

Who works alone has the lease `.lease`, one of several processes `.NAME.lease`. Parts of the work
and a process that works alone keep each other out.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid

from absl import logging

from bsce_tf import division, storage
from bsce_tf.errors import InputError, InUseError, StorageError

NAME = '.lease'
# Seconds. What a process still tries to send has failed before another takes its lease over: see
# `storage.PATIENCE`.
_EVERY, _EXPIRED = 20.0, 180.0
_LOOK = 5.0  # seconds between two looks at the lease of another
_SETTLE = 1.0  # seconds after which a lease that was written must still be ours


def is_one(path):
    """Whether a path in a workdir is that of a lease."""
    name = os.path.basename(path)
    return name.startswith('.') and name.endswith(NAME)


@contextlib.contextmanager
def leased(address, ended, name=''):
    """Yields the `Lease` of a workdir, which is kept within the block. Arguments: see `Lease`.

    Raises:
      InUseError: if another process keeps it, or one works that this one must not work beside.
    """
    lease, stop = Lease(address, ended, name), threading.Event()
    lease.take()

    def keep():
        while not stop.wait(_EVERY):
            try:
                lease.renew()
            except (StorageError, InputError) as error:
                logging.warning('%s', error)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        lease.exclude()
        yield lease
    finally:
        stop.set()
        thread.join()
        try:
            lease.give()
        except (StorageError, InputError) as error:  # it expires by itself
            logging.warning('%s', error)


class Lease:
    """A lease of this process on a workdir.

    Args:
      address: of the workdir.
      ended: name of the lease of a process that has surely ended; ''.
      process: '' to work alone, or the name of one of several processes, such as part-3-of-10.

    Attributes:
      name: of this lease, unlike any other.
      before: name of the lease that was found, which its process had not given back; ''.
    """

    def __init__(self, address, ended, process=''):
        self._workdir, self._ended, self.before = address, ended, ''
        self.address = storage.join(address, f'.{process}{NAME}' if process else NAME)
        self.name, self._number = uuid.uuid4().hex, 0

    def take(self):
        """Takes the lease. Raises InUseError if another process keeps it."""
        self.before = self._waited([self.address]).get(self.address, {}).get('name', '')
        self.renew()
        time.sleep(_SETTLE)
        self.check()

    def exclude(self):
        """Removes the leases of processes that have ended and must not work beside this one.

        Raises:
          InUseError: if such a process works.
        """
        name, others = os.path.basename(self.address), []
        if name == NAME:
            others = [path for path in storage.versions(self._workdir)
                      if is_one(path) and '/' not in path and division.is_of_part(path)]
        elif division.is_of_part(name):
            others = [NAME]
        found = self._waited([storage.join(self._workdir, other) for other in others])
        for address, before in found.items():
            if _read(address) == before:
                storage.remove(address)

    def renew(self):
        """Writes the lease anew, unless it is another's by now."""
        if self._number and _read(self.address).get('name') != self.name:
            return
        self._number += 1
        storage.write(self.address, json.dumps({
            'process': os.getpid(), 'machine': socket.gethostname(), 'name': self.name,
            'number': self._number}).encode())

    def check(self):
        """Raises InUseError unless the lease is this process's."""
        found = _read(self.address)
        if found.get('name') != self.name:
            raise self._in_use(found)

    def give(self):
        """Gives the lease back, if it is still this process's."""
        if _read(self.address).get('name') == self.name:
            storage.remove(self.address)

    def _waited(self, addresses):
        """{address: lease} of the leases that are there, once their processes have ended."""
        found, begin = {a: lease for a in addresses if (lease := _read(a))}, time.monotonic()
        left = {a: lease for a, lease in found.items() if lease.get('name') != self._ended}
        for lease in left.values():
            logging.warning('%s: found the lease of process %s on %s; it counts as ended unless it '
                            'is renewed within %.0f s.', self._workdir, *_owner(lease), _EXPIRED)
        while left and time.monotonic() < begin + _EXPIRED:
            for address, before in list(left.items()):
                if not (now := _read(address)):
                    del left[address]
                elif now != before:
                    raise self._in_use(now)
            if left:
                time.sleep(_LOOK)
        return found

    def _in_use(self, found):
        owner = 'used by process {} on {}'.format(*_owner(found)) if found else (
            'no longer leased to this process')
        return InUseError(f'--workdir: {self._workdir} is {owner}; expected no other. What was not '
                          'sent stays on this machine.')


def _read(address):
    try:
        found = json.loads(storage.read(address))
    except (InputError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _owner(found):
    return found.get('process', '?'), found.get('machine', '?')
