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
import re
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
_OF_PART = re.compile(r'\.part-\d+-of-\d+\.lease')


def is_one(path):
    """Whether a path in a workdir is that of a lease."""
    name = os.path.basename(path)
    return name.startswith('.') and name.endswith(NAME)


@contextlib.contextmanager
def leased(address, ended, name=''):
    """Yields the `Lease` of a workdir, which is kept within the block. Arguments: see `Lease`.

    Raises:
      InUseError: if another process keeps it, or one that this one may not work beside works.
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
        self.before = self._waited(self.address).get('name', '')
        self.renew()
        time.sleep(_SETTLE)
        self.check()

    def exclude(self):
        """Raises InUseError if one works beside whom this process may not; removes old leases."""
        name = os.path.basename(self.address)
        if name == NAME:
            others = [path for path in storage.versions(self._workdir) if _OF_PART.fullmatch(path)]
        else:
            others = [NAME] * bool(_OF_PART.fullmatch(name))
        for other in others:
            address = storage.join(self._workdir, other)
            if (found := self._waited(address)) and _read(address) == found:
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

    def _waited(self, address):
        """The lease there, of a process that has ended; {} if there is none."""
        found, begin = _read(address), time.monotonic()
        if found and found.get('name') != self._ended:
            logging.warning('%s: found the lease of process %s on %s; it counts as ended unless it '
                            'is renewed within %.0f s.', self._workdir, *_owner(found), _EXPIRED)
            while time.monotonic() < begin + _EXPIRED and (now := _read(address)):
                if now != found:
                    raise self._in_use(now)
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
