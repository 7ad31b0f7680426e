"""Reads files in buckets and on web servers by their address: s3://shop/a.jpg, https://cdn/a.jpg.

fsspec does it, with a library for each scheme: pip install 'bsce-tf[cloud]'. Keys, regions and
endpoints come from that library's usual environment and files (AWS_PROFILE, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME …), never from a config.

A place that does not answer is asked again for `PATIENCE` seconds. Then `StorageError` stops the
run: a network that is down makes no image bad.
"""

import functools
import io
import os
import re
import threading
import time
import urllib.parse

from absl import logging

from bsce_tf.errors import InputError, StorageError

SCHEMES = {'s3': 's3fs', 'gs': 'gcsfs', 'gcs': 'gcsfs', 'az': 'adlfs', 'abfs': 'adlfs',
           'abfss': 'adlfs', 'http': 'aiohttp', 'https': 'aiohttp'}
WHOLE = '://'  # a data folder whose images have whole addresses as their paths
PATIENCE = 120.0  # seconds

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*)?://')
_WEB = ('http', 'https')
_CONNECTIONS = 256  # at a time, as many as `data.readers` measures at most
_CONNECT, _ANSWER = 30, 60  # seconds to wait for a connection and for the next bytes
_FIRST, _LONGEST = 0.5, 10.0  # seconds between tries
_TELL = 30.0  # seconds between warnings
_AGAIN = (408, 425, 429)  # of the statuses from 400 to 499 those that a later try may not have
_CREDENTIALS = ('NoCredentialsError', 'PartialCredentialsError', 'DefaultCredentialsError',
                'ClientAuthenticationError', 'ProfileNotFound')
_told = [-_TELL]
_lock = threading.Lock()


def is_address(path):
    """Whether a path (string, bytes or pathlib.Path) is an address, of whatever scheme."""
    return _SCHEME.match(os.fsdecode(path)) is not None


def check(address, where):
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


def scheme(address):
    """The scheme of an address in lower case."""
    return (_SCHEME.match(address)[1] or '').lower()


def join(root, path):
    """The address of a path in a data folder; a path that is an address is its own.

    Args:
      root: address of a folder, or `WHOLE`.
      path: string, relative to it or an address.
    """
    if is_address(path):
        return path
    if scheme(root) in _WEB:  # a name may contain # or ?
        path = urllib.parse.quote(path)
    return f'{root.rstrip("/")}/{path}'


def relative(address, root):
    """The path of which `join` makes the address; None where it is not inside of the folder."""
    start = f'{root.rstrip("/")}/'
    if not address.startswith(start):
        return None
    path = address[len(start):].lstrip('/')
    return urllib.parse.unquote(path) if scheme(root) in _WEB else path


def read(address):
    """The bytes of a file.

    Raises:
      InputError: if there is no such file, or it may not be read.
      StorageError: if the place did not answer for `PATIENCE` seconds.
    """
    return _patiently(address, lambda system: system.cat_file(address))


def open_file(path):
    """A binary file to read from, of this machine or of an address; OSError as `open` raises it."""
    return io.BytesIO(read(path)) if is_address(path) else open(path, 'rb')


def exists(path):
    """Whether there is a file or folder."""
    if not is_address(path):
        return os.path.exists(path)
    return _patiently(path, lambda system: system.exists(path))


def is_folder(path):
    """Whether a path is a folder; web servers have none."""
    if not is_address(path):
        return os.path.isdir(path)
    return scheme(path) not in _WEB and _patiently(path, lambda system: system.isdir(path))


def version(address):
    """What changes when a file is written anew: (size, text); None where the place tells nothing.

    Raises:
      InputError, StorageError: as `read`.
    """
    found = _patiently(address, lambda system: system.info(address))
    for key in ('ETag', 'etag', 'generation', 'LastModified', 'last_modified', 'mtime'):
        if found.get(key):
            return found.get('size'), str(found[key])
    return None


def files(folder):
    """Paths of all files in a folder and below, relative to it, sorted.

    Raises:
      InputError: for a web server, which cannot list its files; or as `read`.
      StorageError: as `read`.
    """
    if scheme(folder) in _WEB:
        raise InputError(f'{folder}: a web server does not list its files; expected a table with '
                         'the address of each image (data.source=csv), or a bucket.')

    def names(system):
        start = f'{system.unstrip_protocol(folder).partition(WHOLE)[2].rstrip("/")}/'
        return sorted(name[len(start):] for name in system.find(folder)
                      if name.startswith(start) and not name.endswith('/'))

    return _patiently(folder, names)


def folders(folder):
    """Names of the folders in a folder of a bucket, sorted. Raises as `files`."""
    found = _patiently(folder, lambda system: system.ls(folder, detail=True))
    return sorted(os.path.basename(entry['name'].rstrip('/')) for entry in found
                  if entry['type'] == 'directory')


def matching(pattern):
    """Addresses of the files that a pattern such as s3://shop/part-*.csv names, sorted."""
    if scheme(pattern) in _WEB:
        return [pattern]
    found = _patiently(pattern, lambda system: system.glob(pattern))
    return sorted(f'{scheme(pattern)}://{name}' for name in found)


@functools.cache
def _system(name):
    """fsspec's file system of a scheme."""
    try:
        import fsspec
        options = {'use_listings_cache': False}  # of what changes while a run goes on
        if SCHEMES[name] == 's3fs':
            options['max_concurrency'] = 1  # else each file is asked for its size first
            options['config_kwargs'] = {'max_pool_connections': _CONNECTIONS,
                                        'connect_timeout': _CONNECT, 'read_timeout': _ANSWER}
        elif name in _WEB:
            import aiohttp
            options['client_kwargs'] = {'timeout': aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT, sock_read=_ANSWER)}
        return fsspec.filesystem(name, **options)
    except ImportError as error:
        raise InputError(f'{name}://…: needs fsspec and {SCHEMES[name]} ({error}): '
                         "pip install 'bsce-tf[cloud]'.") from error


def _patiently(address, function):
    """`function(file system)`, tried again as long as the place does not answer."""
    check(address, 'address')
    system = _system(scheme(address))
    end, wait = time.monotonic() + PATIENCE, _FIRST
    while True:
        try:
            return function(system)
        except Exception as error:  # every library raises its transport's own errors
            reason = _final(error)
            if reason:
                raise InputError(f'{address}: {reason}.') from error
            line = f'{type(error).__name__}: {error}'.splitlines()[0]
            if time.monotonic() + wait > end:
                raise StorageError(
                    f'{address}: does not answer since {PATIENCE:.0f} s ({line}); expected a place '
                    'that can be reached: then start the same command again.') from error
            _tell(address, line)
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST)


def _tell(address, line):
    with _lock:  # many readers meet one outage
        if time.monotonic() - _told[0] < _TELL:
            return
        _told[0] = time.monotonic()
    logging.warning('%s: does not answer (%s); trying for %.0f s.', address, line, PATIENCE)


def _final(error):
    """Why it is of no use to try again; None where it may be."""
    line = (str(error).splitlines() or [''])[0]
    if isinstance(error, FileNotFoundError):
        return 'no such file; expected one'
    if isinstance(error, PermissionError):
        return f'may not be read ({line}); expected the right to'
    if type(error).__name__ in _CREDENTIALS:
        return (f'no credentials ({line}); expected them in the environment or in the usual files '
                'of the service')
    status = getattr(error, 'status', None)
    if isinstance(status, int) and 400 <= status < 500 and status not in _AGAIN:
        return f'the server answers {status} ({getattr(error, "message", line)}); expected a file'
    if isinstance(error, (ValueError, TypeError, NotImplementedError)):
        return f'{line}; expected an address that can be read'
    return None
