"""Works on a workdir in a bucket: locks, leases and the mirror of it on this machine."""

import contextlib
import hashlib
import json
import os

from bsce_tf import files, locks, storage
from bsce_tf.errors import InputError
from bsce_tf.remote import leases
from bsce_tf.remote.mirror import Mirror
from bsce_tf.remote.shared import Shared


def here(place, process=''):
    """Context manager of the folder in which to work on a workdir: itself, or one for an address.

    Args:
      place: path of the workdir, or its address as text.
      process: see `held`.

    Raises:
      InputError: for an address that became a path, which has one slash; and what `held` raises.
    """
    text = os.fspath(place)
    scheme, _, rest = text.partition(':/')
    if scheme in storage.SCHEMES and not rest.startswith('/'):
        raise InputError(f"--workdir: found '{text}'; expected a path, or an address as text: "
                         f"'{scheme}://{rest}'.")
    # Also what is no address: as a path it would be a new folder called S3:.
    return held(text.strip(), process) if '://' in text else contextlib.nullcontext(place)


@contextlib.contextmanager
def held(address, process=''):
    """Yields the folder in which to work on a workdir in a bucket.

    Args:
      address: of the workdir, s3://… and the like.
      process: '' to work there alone. Else the name of one of several processes, each of which has
        a folder of its own: see `shared.Shared`.

    Raises:
      InputError: for a web server, to which nothing can be written, or a whole bucket.
      InUseError: if another process works there.
      StorageError: if the bucket does not answer.
    """
    storage.check(address, '--workdir')
    place = address.rstrip('/')
    parts = place.split('/')[3:]
    if storage.scheme(address) in storage.WEB or not parts or {'', '.', '..'} & set(parts):
        raise InputError(f"--workdir: found '{address}'; expected a folder of this machine or one "
                         'in a bucket, such as s3://shop/run.')
    key = f'{place}#{process}' if process else place
    above = files.cache_folder() / 'workdirs' / hashlib.sha256(key.encode()).hexdigest()[:32]
    with locks.held(above):  # so the lease that is noted here is of a process that has ended
        sent = above / 'sent.json'
        known = _read(sent)
        with leases.leased(place, known['lease'], process) as lease:
            kind = Shared if process else Mirror
            mirror = kind(place, above / 'work' / parts[-1], sent, known, lease)
            mirror.pull()
            with mirror.kept():
                yield mirror.folder


def _read(sent):
    try:
        return json.loads(sent.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {'lease': '', 'files': {}}
