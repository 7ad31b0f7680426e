"""Walks folders of images, without hidden files and those of operating systems."""

import collections
import glob
import os
import pathlib

from absl import logging

from bsce_tf import storage
from bsce_tf.errors import InputError

ENDINGS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.webp')

# Folders of macOS, ext4, Windows and the file servers of Synology and QNAP, in lower case. Some
# hold thumbnails or deleted copies of the images. Hidden folders need no entry.
_SYSTEM = frozenset((
    '__macosx', 'network trash folder', 'temporary items', 'lost+found', '$recycle.bin',
    'system volume information', 'found.000', '#recycle', '#snapshot', '@eadir', '@tmp', '@recycle',
    '@recently-snapshot', '__pycache__'))
_SHOWN = 5  # names or endings in the log line


def left_out(name):
    """Whether a file or folder of this name is hidden or belongs to an operating system."""
    return name.startswith('.') or name.lower() in _SYSTEM


def walk(top, states=None, told=None):
    """Walks a folder and all folders below it, sorted by code points. Follows links.

    Skips hidden and system files and folders, and files without the ending of an image. When the
    walk ends, one line of the log counts what was skipped, see `tell`.

    Args:
      top: the folder, or its address in a bucket.
      states: dict to which the `state` of every folder is added before its names are read; those
        in a bucket have none.
      told: list to which the words on what was skipped are added, in place of the log; or None.

    Yields:
      (folder, names of its subfolders, names of its images), both sorted.

    Raises:
      InputError: if a folder cannot be read, or a link leads to a folder that contains it.
    """

    folders_out, endings_out, hidden = set(), collections.Counter(), 0
    number = 0
    listed = _stored(top) if storage.is_address(top) else _local(
        top, {} if states is None else states)
    for folder, folders, files in listed:
        kept = sorted(name for name in folders if not left_out(name))
        folders_out.update(set(folders) - set(kept))
        number += len(folders) - len(kept)
        folders[:] = kept
        visible = [name for name in files if not left_out(name)]
        hidden += len(files) - len(visible)
        images = sorted(name for name in visible if name.lower().endswith(ENDINGS))
        endings_out.update(os.path.splitext(name)[1].lower() or 'no ending' for name in visible
                           if not name.lower().endswith(ENDINGS))
        yield folder, kept, images
    words = _words(number, folders_out, endings_out, hidden)
    if told is None:
        tell(top, words)
    else:
        told.append(words)


def _local(top, states):
    """As `os.walk`: (folder, names of its subfolders, of which some may be taken out, of its files)
    """
    def fail(error):
        raise InputError(f'{error.filename}: {error.strerror}; expected a folder that can be read.')

    above = {top: (os.path.realpath(top),)}
    states[top] = state(top)
    for folder, folders, files in os.walk(top, followlinks=True, onerror=fail):
        chain = above.pop(folder)
        yield folder, folders, files
        for name in folders:
            place = os.path.join(folder, name)
            real = os.path.realpath(place)
            if real in chain:
                raise InputError(f'{place}: a link to a folder that contains it; expected a tree.')
            above[place] = chain + (real,)
            states[place] = state(place)


def _stored(top):
    """The same of a folder in a bucket, which gives all names at once."""
    folders, files = collections.defaultdict(set), collections.defaultdict(list)
    for path in storage.files(top):
        *above, name = path.split('/')
        for depth, part in enumerate(above):
            folders['/'.join(above[:depth])].add(part)
        files['/'.join(above)].append(name)
    waiting = ['']
    while waiting:
        place = waiting.pop()
        kept = sorted(folders[place])
        yield os.path.join(top, place).rstrip('/'), kept, files[place]
        waiting += [os.path.join(place, name) for name in reversed(kept)]


def state(folder):
    """What differs once a name is added to a folder, removed or renamed: int64 `[3]`.

    Its times of change (of names, and of anything) in nanoseconds, and its number in the file
    system; 0 where there is no such folder.
    """
    try:
        found = os.stat(folder)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def images(top):
    """Paths of all images in a folder and below, relative to it, as a list of strings."""
    return [os.path.relpath(os.path.join(folder, name), top)
            for folder, _, names in walk(top) for name in names]


def tell(top, words):
    """Logs what a walk of a folder has left out; nothing for ''."""
    if words:
        logging.warning('%s: left out %s.', top, words)


def _words(number, folders, endings, hidden):
    parts = []
    if number:
        parts.append(f'{number} hidden or system folders ({_some(sorted(folders))})')
    if hidden:
        parts.append(f'{hidden} hidden files')
    if endings:
        common = sorted(endings, key=lambda ending: (-endings[ending], ending))
        parts.append(f'{sum(endings.values())} files without the ending of an image '
                     f'({_some(common)})')
    return ', '.join(parts)


def _some(names):
    return ', '.join(names[:_SHOWN]) + (', …' if len(names) > _SHOWN else '')


def matching(root, pattern):
    """Files below a folder that match a pattern, sorted; without those that `left_out` names.

    Args:
      root: the data folder, or its address. Web servers list no files: there the pattern is a path.
      pattern: as `pathlib.Path.glob` takes it.

    Returns:
      List of paths relative to the folder, as strings.

    Raises:
      InputError: if the pattern leaves the folder.
    """
    if os.path.isabs(pattern) or '..' in pattern.split('/'):
        raise InputError(f"{root}: the pattern '{pattern}' leaves the data folder; expected one "
                         'inside of it.')
    if storage.is_address(root):
        names = _stored_matching(root, pattern)
    else:
        names = [str(path.relative_to(root)) for path in sorted(pathlib.Path(root).glob(pattern))
                 if path.is_file()]
    return [name for name in names if not any(map(left_out, name.split('/')))]


def _stored_matching(root, pattern):
    whole = storage.join(glob.escape(root), pattern)
    if not storage.is_pattern(whole):
        return [pattern] if storage.is_file(storage.join(root, pattern)) else []
    names = [storage.relative(address, root) for address in storage.matching(whole)]
    if None in names:
        raise InputError(f"{root}: files that fit '{pattern}' have addresses outside of it; "
                         'expected some inside of it.')
    return sorted(names, key=lambda name: name.split('/'))
