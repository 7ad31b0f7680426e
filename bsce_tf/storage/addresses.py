"""Addresses as text: which are ones, what they are made of. Nothing is asked."""

import glob
import os
import re
import urllib.parse

import numpy as np

from bsce_tf.errors import InputError

SCHEMES = {'s3': 's3fs', 'gs': 'gcsfs', 'gcs': 'gcsfs', 'az': 'adlfs', 'abfs': 'adlfs',
           'abfss': 'adlfs', 'http': 'aiohttp', 'https': 'aiohttp'}
WHOLE = '://'  # a data folder whose images have whole addresses as their paths
WEB = ('http', 'https')

_SCHEME = re.compile(r'([a-z][a-z0-9+.-]*)?://')


def is_address(path):
    """Whether a path (string, bytes or pathlib.Path) is an address, of whatever scheme."""
    return _SCHEME.match(os.fsdecode(path)) is not None


def check(address, where='address'):
    """Refuses an address whose scheme is not in `SCHEMES`.

    Args:
      address: string.
      where: where it stands, for the message.

    Raises:
      InputError: naming the schemes.
    """
    if scheme(address) not in SCHEMES:
        raise InputError(f"{where}: found '{address}'; expected a path, or an address that begins "
                         f'with {", ".join(f"{name}://" for name in SCHEMES)}.')


def begin(block):
    """bool `[n]`: which of a NumPy bytes array `[n]` begin as an address that can be read."""
    return np.logical_or.reduce([np.strings.startswith(block, f'{name}://'.encode())
                                 for name in SCHEMES])


def scheme(address):
    """The scheme of an address; '' of anything else."""
    found = _SCHEME.match(address)
    return (found and found[1]) or ''


def join(root, path):
    """The address of a path in a data folder; a path that is an address is its own.

    Args:
      root: address of a folder, or `WHOLE`.
      path: string, relative to it or an address.
    """
    if is_address(path):
        return path
    if scheme(root) in WEB:  # a name may contain # or ?
        path = urllib.parse.quote(os.fsencode(path), safe="/!$&'()*+,;=:@~")
    return f'{root.rstrip("/")}/{path}'


def below(root, name):
    """The path of a file below a folder, which may have an address."""
    return join(root, name) if is_address(root) else os.path.join(root, name)


def relative(address, root):
    """The path from which `join` makes the address; None where there is none."""
    start = f'{root.rstrip("/")}/'
    if not address.startswith(start):
        return None
    path = address[len(start):].lstrip('/')
    path = urllib.parse.unquote(path) if scheme(root) in WEB else path
    return path if join(root, path) == address else None


def several(text):
    """List of the paths and addresses in 'A,B'; one path of this machine may have a comma in it."""
    if not is_address(text) and os.path.exists(text):
        return [text]
    return [path.strip() for path in text.split(',')] if text else []


def is_pattern(address):
    """Whether an address is a pattern for several files; those of web servers may contain ?."""
    return scheme(address) not in WEB and glob.has_magic(address)
