"""Files in buckets and on web servers by their address: s3://shop/a.jpg, https://cdn/a.jpg.

fsspec does it, with a library for each scheme: pip install 'bsce-tf[cloud]'. Keys, regions and
endpoints come from that library's usual environment and files (AWS_PROFILE, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME …), never from a config.

A place that does not answer is asked again for `PATIENCE` seconds. Then `StorageError` stops the
run, as it does at once without credentials: a network that is down makes no image bad.
"""

import contextlib
import glob
import io
import os
import re
import shutil
import threading
import time
import urllib.parse

import numpy as np
from absl import logging

from bsce_tf import files as disk
from bsce_tf.errors import InputError, StorageError

SCHEMES = {'s3': 's3fs', 'gs': 'gcsfs', 'gcs': 'gcsfs', 'az': 'adlfs', 'abfs': 'adlfs',
           'abfss': 'adlfs', 'http': 'aiohttp', 'https': 'aiohttp'}
WHOLE = '://'  # a data folder whose images have whole addresses as their paths
PATIENCE = 120.0  # seconds

_SCHEME = re.compile(r'([a-z][a-z0-9+.-]*)?://')
WEB = ('http', 'https')
_CONNECTIONS = 256  # at a time, as many as `data.readers` measures at most
_CONNECT, _ANSWER = 30, 60  # seconds to wait for a connection and for the next bytes
_FIRST, _LONGEST = 0.5, 10.0  # seconds between tries
_PIECE = 2**24  # bytes that are fetched at a time of a large file
_TELL = 30.0  # seconds between warnings
_LATER = (408, 425, 429)  # statuses 400 to 499 that a later try may not meet
_WRONG = ('ParamValidationError', 'InvalidURL', 'InvalidUrlClientError', 'NonHttpUrlClientError')
_CREDENTIALS = ('NoCredentialsError', 'PartialCredentialsError', 'CredentialRetrievalError',
                'TokenRetrievalError', 'ProfileNotFound', 'DefaultCredentialsError', 'RefreshError',
                'ClientAuthenticationError')
_CODES = ('ExpiredToken', 'InvalidToken', 'TokenRefreshRequired', 'RequestTimeTooSkewed',
          'InvalidAccessKeyId', 'SignatureDoesNotMatch')  # of S3, about the keys
_silent = {}  # place → (since when it does not answer, when it was last asked)
_told = [-_TELL]
_lock = threading.Lock()

failed = []  # the `StorageError`s of this process; TensorFlow's graphs do not let them through


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


def read(address):
    """The bytes of a file.

    Raises:
      InputError: if there is no such file, or it may not be read.
      StorageError: if the place did not answer for `PATIENCE` seconds, or wants other credentials.
    """
    return _patiently(address, lambda system: system.cat_file(address))


def fetch(address, path, check=lambda temporary: None):
    """Writes the bytes of a file at an address to `path`, which is whole or stays as it was.

    Args:
      address: string.
      path: of a file of this machine.
      check: function of the path of what was fetched, before it gets its name.

    Raises:
      InputError, StorageError: as `read`, and what `check` raises; InputError if the file was
        written anew meanwhile.
      OSError: if `path` cannot be written.
    """
    before = version(address)
    with Ranges(address) as source, disk.replacing(path) as temporary:
        disk.check_space(os.path.dirname(path), source.size)
        with open(temporary, 'wb') as target:
            shutil.copyfileobj(source, target, _PIECE)
        check(temporary)
        if version(address) != before:
            raise InputError(f'{address}: was written while it was read; expected a file that is '
                             'not being written.')


def open_file(path):
    """A binary file to read from, of this machine or of an address; OSError as `open` raises it."""
    return io.BytesIO(read(path)) if is_address(path) else open(path, 'rb')


class Ranges(io.RawIOBase):
    """A binary file at an address, of which only what is read is fetched.

    Of a server that sends no parts, the whole file is kept once it was asked for any; a line of the
    log says so.

    Args:
      address: string.

    Attributes:
      size: in bytes.

    Raises:
      InputError: if there is no such file, or its size is not told or not right.
      StorageError: as `read`.
    """

    def __init__(self, address):
        super().__init__()
        self._address, self._place, self._whole = address, 0, None
        self.size = (_info(address) or {}).get('size')
        if self.size is None:
            missing = 'no such file' if not exists(address) else 'its size is not told'
            raise InputError(f'{address}: {missing}; expected a file of known size.')

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._place

    def seek(self, offset, whence=io.SEEK_SET):
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place,
                                io.SEEK_END: self.size}[whence]
        return self._place

    def read(self, size=-1):
        start = min(self._place, self.size)
        end = self.size if size is None or size < 0 else min(start + size, self.size)
        if start == end:
            return b''
        self._place = end
        if self._whole is not None:
            return self._whole[start:end]
        data = _patiently(self._address, lambda system: system.cat_file(
            self._address, start=start, end=end))
        if len(data) == end - start:
            return data
        if len(data) != self.size:
            raise InputError(f'{self._address}: {len(data)} bytes were sent for {start} to {end} '
                             f'of {self.size}; expected these. Is the file being written?')
        logging.warning('%s: the server sends no parts of files; its %d bytes stay in memory.',
                        self._address, self.size)
        self._whole = data
        return data[start:end]


def exists(path):
    """Whether there is a file or folder."""
    return _info(path) is not None if is_address(path) else os.path.exists(path)


def offered(address):
    """As `exists`, of what need not be there.

    A place that does not say whether it is there has none; a line of the log says so. S3 answers
    403 for a missing file to those who may not list its bucket.
    """
    try:
        return exists(address)
    except InputError as error:
        logging.warning('%s Taken as not there, as it need not be.', error)
        return False


def is_file(path):
    """Whether a path is a file."""
    if not is_address(path):
        return os.path.isfile(path)
    return (_info(path) or {}).get('type') == 'file'


def is_folder(path):
    """Whether a path is a folder; web servers have none."""
    if not is_address(path):
        return os.path.isdir(path)
    return (_info(path) or {}).get('type') == 'directory'


def version(address):
    """What changes when a file is written anew: (size, text); None where the place tells nothing.

    Web servers are taken to tell nothing.

    Raises:
      InputError, StorageError: as `read`.
    """
    found = _info(address)
    if found is None:
        raise InputError(f'{address}: no such file; expected one.')
    return None if scheme(address) in WEB else _version(found)


def _version(entry):
    for key in ('ETag', 'etag', 'generation', 'LastModified', 'last_modified', 'mtime'):
        if entry.get(key):
            return entry.get('size') or 0, str(entry[key])
    return None


def versions(folder):
    """{path relative to a folder in a bucket: `version`} of all files in it and below."""
    found = _patiently(folder, lambda system: system.find(folder, detail=True))
    return {path: _version(found[name]) for path, name in _paths(folder, found).items()}


def write(address, data):
    """Writes bytes to an address, whole or not at all. Raises as `read`."""
    _patiently(address, lambda system: system.pipe_file(address, data))


def send(path, address):
    """Writes a file of this machine to an address, whole or not at all; returns its `version`.

    Raises:
      InputError, StorageError: as `read`.
    """
    _patiently(address, lambda system: system.put_file(str(path), address))
    return version(address)


def remove(address):
    """Removes a file, if it is there. Raises as `read`."""
    def gone(system):
        with contextlib.suppress(FileNotFoundError):
            system.rm_file(address)

    _patiently(address, gone)


def _info(address):
    """What fsspec tells of a file or folder; None where there is none."""
    def ask(system):
        try:
            return system.info(address)
        except FileNotFoundError:
            if scheme(address) not in WEB:
                return None
        try:  # on the web, `info` takes every failure for a missing file
            system.cat_file(address, start=0, end=1)
        except FileNotFoundError:
            return None
        raise ConnectionError('it is there, but nothing was told about it')

    return _patiently(address, ask)


def files(folder):
    """Paths of all files in a folder and below, relative to it, sorted.

    Keys that are no paths, as those with // in them, are left out, and a line of the log says so.

    Raises:
      InputError: for a web server, which cannot list its files; or as `read`.
      StorageError: as `read`.
    """
    if scheme(folder) in WEB:
        raise InputError(f'{folder}: a web server does not list its files; expected a table with '
                         'the address of each image (data.source=csv), or a bucket.')

    return sorted(_paths(folder, _patiently(folder, lambda system: system.find(folder))))


def _paths(folder, names):
    """{path relative to a folder: its name for fsspec} of those names that are paths below it."""
    start = f'{_without_scheme(folder).rstrip("/")}/'
    found = {name[len(start):]: name for name in names
             if name.startswith(start) and not name.endswith('/')}
    odd = [path for path in found if {'', '.', '..'} & set(path.split('/'))]
    if odd:
        logging.warning("%s: left out %d keys that are no paths, such as '%s'.", folder, len(odd),
                        odd[0])
    return {path: name for path, name in found.items() if path not in set(odd)}


def folders(folder):
    """Names of the folders in a folder of a bucket, sorted. Raises as `files`."""
    found = _patiently(folder, lambda system: system.ls(folder, detail=True))
    return sorted(os.path.basename(entry['name'].rstrip('/')) for entry in found
                  if entry['type'] == 'directory')


def matching(pattern):
    """Addresses of the files that a pattern such as s3://shop/part-*.csv names, sorted."""
    found = _patiently(pattern, lambda system: system.glob(pattern, detail=True))
    return sorted(f'{scheme(pattern)}://{name}' for name, entry in found.items()
                  if entry['type'] == 'file')


def is_pattern(address):
    """Whether an address is a pattern for several files; those of web servers may contain ?."""
    return scheme(address) not in WEB and glob.has_magic(address)


def _without_scheme(address):
    from fsspec.core import strip_protocol

    return strip_protocol(address)


def _system(name):
    """fsspec's file system of a scheme; one for all threads."""
    with _lock:
        if name not in _systems:
            _systems[name] = _made(name)
        return _systems[name]


_systems = {}


def _made(name):
    try:
        import fsspec
        options = {'use_listings_cache': False}  # of what changes while a run goes on
        if SCHEMES[name] == 's3fs':
            options['max_concurrency'] = 1  # else each file is asked for its size first
            options['config_kwargs'] = {
                'max_pool_connections': _CONNECTIONS, 'connect_timeout': _CONNECT,
                'read_timeout': _ANSWER, 'retries': {'total_max_attempts': 2}}
        elif name in WEB:
            import aiohttp

            async def client(loop, **more):
                return aiohttp.ClientSession(
                    loop=loop, connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                    timeout=aiohttp.ClientTimeout(None, sock_connect=_CONNECT, sock_read=_ANSWER),
                    **more)

            options['get_client'] = client
        system = fsspec.filesystem(name, **options)
        system.retries = 1  # of s3fs: `_patiently` does it
        return system
    except ImportError as error:
        raise InputError(f'{name}://…: needs fsspec and {SCHEMES[name]} ({error}): '
                         "pip install 'bsce-tf[cloud]'.") from error
    except (ValueError, OSError) as error:  # such as adlfs without the name of an account
        raise InputError(f'{name}://…: {_line(error)}; expected what the service needs in the '
                         'environment.') from error


def _patiently(address, function):
    """`function(file system)`, tried again as long as the place does not answer."""
    check(address)
    system, place = _system(scheme(address)), '/'.join(address.split('/')[:3])
    begin, wait = None, _FIRST
    while True:
        try:
            found = function(system)
            _silent.pop(place, None)
            return found
        except Exception as error:  # every library raises its transport's own errors
            reason, of_place = _final(error)
            if reason and not of_place:
                _silent.pop(place, None)
                raise InputError(f'{address}: {reason}.') from error
            if reason:
                raise failure(f'{address}: {reason}.') from error
            now = time.monotonic()
            begin = begin or now
            if now + wait - min(_silent_since(place, now), begin) > PATIENCE:
                raise failure(
                    f'{address}: has not answered for {PATIENCE:.0f} s ({_line(error)}); expected '
                    'a place that can be reached: then start the same command again.') from error
            _tell(address, _line(error))
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST)


def _silent_since(place, now):
    """When a place began not to answer; other readers may have waited for it before."""
    with _lock:
        since, last = _silent.get(place, (now, now))
        if now - last > PATIENCE:  # of an outage before, after which nobody asked
            since = now
        _silent[place] = since, now
        return since


def failure(message):
    """A `StorageError` that stops the run, also where TensorFlow lets no error through."""
    failed.append(StorageError(message))
    return failed[-1]


def _line(error):
    return f'{type(error).__name__}: {error}'.splitlines()[0]


def _tell(address, line):
    with _lock:  # many readers meet one outage
        if time.monotonic() - _told[0] < _TELL:
            return
        _told[0] = time.monotonic()
    logging.warning('%s: does not answer (%s); trying for up to %.0f s.', address, line, PATIENCE)


def _final(error):
    """(why it is of no use to try again, or None; whether that is so for all files of the place)"""
    if type(error).__name__ == 'ClientConnectorCertificateError':
        return f'its certificate is not trusted ({_line(error)}); expected one that is', True
    response = getattr(error.__cause__, 'response', None)  # of botocore a dict
    code = response.get('Error', {}).get('Code') if isinstance(response, dict) else None
    if type(error).__name__ in _CREDENTIALS or code in _CODES:
        return (f'the credentials are missing, wrong or expired ({_line(error)}); expected them in '
                'the environment or in the usual files of the service'), True
    if isinstance(error, FileNotFoundError):
        return 'no such file; expected one', False
    if code in ('InvalidRange', '416') or getattr(error, 'status', None) == 416:
        return f'{_line(error)}; expected a file that is not being written', False
    if isinstance(error, IsADirectoryError):
        return 'a folder; expected a file', False
    if isinstance(error, PermissionError) or str(error).startswith('Forbidden'):  # gcsfs
        return f'access is refused ({_line(error)}); expected permission', False
    status = getattr(error, 'status', getattr(error, 'status_code', None))
    if isinstance(status, int) and 400 <= status < 500 and status not in _LATER:
        return f'the server answers {status} ({getattr(error, "message", "")}); expected a file', (
            False)
    if type(error).__name__ in _WRONG or isinstance(error, NotImplementedError):
        return f'{_line(error)}; expected an address that can be read', False
    return None, False
