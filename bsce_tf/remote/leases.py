"""Leases: which process works on a workdir in a bucket, where there are no locks.

A lease is a small file that its owner writes anew every `_EVERY` seconds. One that does not change
for `_EXPIRED` seconds is taken over. Two that start within one second may both get it; the next
file that either sends ends the one whose lease was overwritten.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid

from absl import logging

from bsce_tf import storage
from bsce_tf.errors import InputError, InUseError, StorageError

NAME = '.lease'
# Seconds. What a process still tries to send has failed before another takes its lease over: see
# `storage.PATIENCE`.
_EVERY, _EXPIRED = 20.0, 180.0
_LOOK = 5.0  # seconds between two looks at the lease of another
_SETTLE = 1.0  # seconds after which a lease that was written must still be ours


@contextlib.contextmanager
def leased(address, ended):
    """Yields the `Lease` of a workdir, which is kept within the block. Arguments: see `Lease`.

    Raises:
      InUseError: if another process keeps it.
    """
    lease, stop = Lease(address, ended), threading.Event()
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
        yield lease
    finally:
        stop.set()
        thread.join()
        try:
            lease.give()
        except (StorageError, InputError) as error:  # it expires by itself
            logging.warning('%s', error)


class Lease:
    """The lease of this process on a workdir.

    Args:
      address: of the workdir.
      ended: name of the lease of a process that has surely ended; ''.

    Attributes:
      name: of this lease, unlike any other.
      before: name of the lease that was found, which its process had not given back; ''.
    """

    def __init__(self, address, ended):
        self._workdir, self._ended, self.before = address, ended, ''
        self.address = storage.join(address, NAME)
        self.name, self._number = uuid.uuid4().hex, 0

    def take(self):
        """Takes the lease. Raises InUseError if another process keeps it."""
        found, begin = self._read(), time.monotonic()
        if found and found.get('name') != self._ended:
            logging.warning('%s: found the lease of process %s on %s; it counts as ended unless it '
                            'is renewed within %.0f s.', self._workdir, *_owner(found), _EXPIRED)
            while time.monotonic() < begin + _EXPIRED and (now := self._read()):
                if now != found:
                    raise self._in_use(now)
                time.sleep(_LOOK)
        self.before = found.get('name', '')
        self.renew()
        time.sleep(_SETTLE)
        self.check()

    def renew(self):
        """Writes the lease anew, unless it is another's by now."""
        if self._number and self._read().get('name') != self.name:
            return
        self._number += 1
        storage.write(self.address, json.dumps({
            'process': os.getpid(), 'machine': socket.gethostname(), 'name': self.name,
            'number': self._number}).encode())

    def check(self):
        """Raises InUseError unless the lease is this process's."""
        found = self._read()
        if found.get('name') != self.name:
            raise self._in_use(found)

    def give(self):
        """Gives the lease back, if it is still this process's."""
        if self._read().get('name') == self.name:
            storage.remove(self.address)

    def _read(self):
        try:
            found = json.loads(storage.read(self.address))
        except (InputError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _in_use(self, found):
        owner = 'used by process {} on {}'.format(*_owner(found)) if found else (
            'no longer leased to this process')
        return InUseError(f'--workdir: {self._workdir} is {owner}; expected no other. What was not '
                          'sent stays on this machine.')


def _owner(found):
    return found.get('process', '?'), found.get('machine', '?')
