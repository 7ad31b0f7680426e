"""Asks again where a place does not answer, and says what went wrong where it does."""

import threading
import time

from absl import logging

from bsce_tf.errors import InputError, StorageError, line
from bsce_tf.storage import systems
from bsce_tf.storage.addresses import check, scheme

PATIENCE = 120.0  # seconds
_FIRST, _LONGEST = 0.5, 10.0  # seconds between tries
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


def patiently(address, function):
    """`function(file system)`, tried again as long as the place does not answer."""
    check(address)
    system, place = systems.of(scheme(address)), '/'.join(address.split('/')[:3])
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
                    f'{address}: has not answered for {PATIENCE:.0f} s ({line(error)}); '
                    'expected a place that can be reached: then start the same command again.'
                ) from error
            _tell(address, line(error))
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


def _tell(address, words):
    with _lock:  # many readers meet one outage
        if time.monotonic() - _told[0] < _TELL:
            return
        _told[0] = time.monotonic()
    logging.warning('%s: does not answer (%s); trying for up to %.0f s.', address, words, PATIENCE)


def _final(error):
    """(why it is of no use to try again, or None; whether that is so for all files of the place)"""
    if type(error).__name__ == 'ClientConnectorCertificateError':
        return f'its certificate is not trusted ({line(error)}); expected one that is', True
    response = getattr(error.__cause__, 'response', None)  # of botocore a dict
    code = response.get('Error', {}).get('Code') if isinstance(response, dict) else None
    if type(error).__name__ in _CREDENTIALS or code in _CODES:
        return (f'the credentials are missing, wrong or expired ({line(error)}); '
                'expected them in the environment or in the usual files of the service'), True
    if isinstance(error, FileNotFoundError):
        return 'no such file; expected one', False
    if code in ('InvalidRange', '416') or getattr(error, 'status', None) == 416:
        return f'{line(error)}; expected a file that is not being written', False
    if isinstance(error, IsADirectoryError):
        return 'a folder; expected a file', False
    if isinstance(error, PermissionError) or str(error).startswith('Forbidden'):  # gcsfs
        return f'access is refused ({line(error)}); expected permission', False
    status = getattr(error, 'status', getattr(error, 'status_code', None))
    if isinstance(status, int) and 400 <= status < 500 and status not in _LATER:
        return f'the server answers {status} ({getattr(error, "message", "")}); expected a file', (
            False)
    if type(error).__name__ in _WRONG or isinstance(error, NotImplementedError):
        return f'{line(error)}; expected an address that can be read', False
    return None, False
