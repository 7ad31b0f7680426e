"""What is at an address, without its bytes."""

import os

from absl import logging

from bsce_tf.errors import InputError
from bsce_tf.storage.addresses import WEB, is_address, scheme
from bsce_tf.storage.patience import patiently


def exists(path):
    """Whether there is a file or folder."""
    return info(path) is not None if is_address(path) else os.path.exists(path)


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
    return (info(path) or {}).get('type') == 'file'


def is_folder(path):
    """Whether a path is a folder; web servers have none."""
    if not is_address(path):
        return os.path.isdir(path)
    return (info(path) or {}).get('type') == 'directory'


def version(address):
    """What changes when a file is written anew: (size, text); None where the place tells nothing.

    Web servers are taken to tell nothing.

    Raises:
      InputError, StorageError: as `read`.
    """
    found = info(address)
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
    found = patiently(folder, lambda system: system.find(folder, detail=True))
    return {path: _version(found[name]) for path, name in _paths(folder, found).items()}


def info(address):
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

    return patiently(address, ask)


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

    return sorted(_paths(folder, patiently(folder, lambda system: system.find(folder))))


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
    found = patiently(folder, lambda system: system.ls(folder, detail=True))
    return sorted(os.path.basename(entry['name'].rstrip('/')) for entry in found
                  if entry['type'] == 'directory')


def matching(pattern):
    """Addresses of the files that a pattern such as s3://shop/part-*.csv names, sorted."""
    found = patiently(pattern, lambda system: system.glob(pattern, detail=True))
    return sorted(f'{scheme(pattern)}://{name}' for name, entry in found.items()
                  if entry['type'] == 'file')


def _without_scheme(address):
    from fsspec.core import strip_protocol

    return strip_protocol(address)
