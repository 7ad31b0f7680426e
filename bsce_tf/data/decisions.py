"""Decisions of a person on the labels of images: the file of `--mode=review`, and what it says.

The file has a JSON object a line and is only ever appended to. The first line names the format,
each other one is a `Decision`. An image is known by its path, the label that it had before any
audit, and its number among the images for which both are the same. The SHA-256 of its content tells
whether it was replaced since. The last decision of an image counts; `undo` takes it back.
"""

import dataclasses
import hashlib
import json
import os
from typing import NamedTuple

import numpy as np
from absl import logging

from bsce_tf import storage
from bsce_tf.data import texts
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

HEADER = {'format': 'bsce-tf decisions', 'version': 1}
KEEP, SUGGESTION, ANOTHER, REMOVE, SKIP, UNDO = WORDS = (
    'keep', 'suggestion', 'another', 'remove', 'skip', 'undo')
_WHAT = 'decisions of --mode=review'


class Decision(NamedTuple):
    """One line of the file.

    Attributes:
      path: of the image, as clean lists have it; bytes that are not UTF-8 as surrogates.
      given_label: name of the class that the image had before any audit.
      copy: 0, and 1, 2, … for further images with the same path and given label.
      sha256: of the content of the image, see `digest`; '' where it could not be read.
      decision: one of `WORDS`.
      label: name of the class that the image has from now on; '' for remove, skip and undo.
      reviewer: who decided.
      time: when, in UTC, as ISO 8601.
    """

    path: str
    given_label: str
    copy: int
    sha256: str
    decision: str
    label: str
    reviewer: str
    time: str


class Found(NamedTuple):
    """What decisions say of n images of a set.

    Attributes:
      indices: int64 `[n]`, places in the set.
      labels: int32 `[n]`, class from now on; −1: the image is removed.
      words: list of n strings, `KEEP` and so on, but neither `SKIP` nor `UNDO`.
    """

    indices: np.ndarray
    labels: np.ndarray
    words: list


def line(decision):
    """Bytes of a line of the file, for a `Decision` or the `HEADER`."""
    values = decision if isinstance(decision, dict) else decision._asdict()
    return json.dumps(values).encode('ascii') + b'\n'


def read(path):
    """Reads a file of decisions.

    Returns:
      (list of `Decision`, in the order of the file; bytes that they and the header take). The file
      is longer where a program was killed while it wrote the last line, which is left out with a
      warning.

    Raises:
      InputError: if the file cannot be read or is damaged.
    """
    try:
        with storage.open_file(path) as file:
            lines = file.read().split(b'\n')
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected {_WHAT}.') from error
    half = lines.pop()
    if half:
        logging.warning('%s: line %d was not written to its end, as when the program is killed; '
                        'it is left out.', path, len(lines) + 1)
    found = [_parsed(path, number, text) for number, text in enumerate(lines, 1)]
    if found and found[0] != HEADER:
        raise InputError(f'{path}: begins with {lines[0][:60].decode("utf-8", "replace")!r}; '
                         f'expected {_WHAT} of this version.')
    return [_decision(path, number, values) for number, values in enumerate(found[1:], 2)], sum(
        len(text) + 1 for text in lines)


def standing(rows):
    """{(path, given label, copy): the `Decision` that counts}, without images whose all is undone.

    Args:
      rows: of `read`.
    """
    stacks = {}
    for row in rows:
        stack = stacks.setdefault(row[:3], [])
        if row.decision != UNDO:
            stack.append(row)
        elif stack:
            stack.pop()
    return {key: stack[-1] for key, stack in stacks.items() if stack}


def of(examples, paths):
    """What files of decisions say of a set.

    A decision on an image that was replaced since does not count; a warning gives their number.

    Args:
      examples: an `Examples` with the labels from before any audit.
      paths: one file or several, as 'A,B'; of several decisions on an image that of the later file
        counts.

    Returns:
      `Found`.

    Raises:
      InputError: if a file cannot be read, or is of images or classes that are not in the set.
    """
    whole = {}
    for path in storage.several(paths):
        rows = {key: row for key, row in standing(read(path)[0]).items() if row.decision != SKIP}
        whole |= {index: (row, label) for index, row, label in located(examples, rows, path)}
    same = [index for index, (row, _) in whole.items() if unchanged(examples, index, row)]
    if len(same) < len(whole):
        logging.warning('%s: %d of %d decisions are on images that were replaced since; they do '
                        'not count.', paths, len(whole) - len(same), len(whole))
    return Found(np.array(same, np.int64), np.array([whole[i][1] for i in same], np.int32),
                 [whole[i][0].decision for i in same])


def located(examples, rows, path):
    """List of (index in the set, `Decision`, class id or −1) of what `standing` returns.

    Raises:
      InputError: if an image or a class is not in the set.
    """
    places = _places(examples, rows)
    ids = dict(zip(examples.class_names, range(examples.num_classes), strict=True))
    found = []
    for key, row in rows.items():
        if key not in places:
            raise InputError(f"{path}: '{_shown(row.path)}' with the label '{row.given_label}' is "
                             f'not in {examples.origin}; expected decisions on these images.')
        if row.label and row.label not in ids:
            raise InputError(f"{path}: class '{row.label}' is not among the {len(ids)} classes of "
                             f'{examples.origin}; expected one of them.')
        found.append((places[key], row, ids[row.label] if row.label else -1))
    return found


def applied(examples, indices, labels, paths):
    """A choice of images and their labels, after decisions.

    A removed image leaves; each other one that was decided has the label of the decision, also
    where the choice lacks it.

    Args:
      examples: an `Examples` with the labels from before any audit.
      indices: int `[n]`, ascending, the chosen images.
      labels: int `[n]`, their classes.
      paths: see `of`.

    Returns:
      (int64 `[m]` ascending indices, int32 `[m]` labels, bool `[m]`: whether a person decided).
    """
    found = of(examples, paths)
    after = np.full(len(examples), -1, np.int32)
    after[indices] = labels
    after[found.indices] = found.labels
    decided = np.zeros(len(examples), bool)
    decided[found.indices] = True
    chosen = np.flatnonzero(after >= 0)
    return chosen, after[chosen], decided[chosen]


def keys(examples):
    """Function of an index → (path, label, copy) as a `Decision` has them; of the set's labels."""
    names, labels = records.names(examples), examples.labels
    copies = _copies(names, labels, examples.num_classes)
    return lambda i: (os.fsdecode(bytes(names[int(i)])), examples.class_names[labels[i]],
                      int(copies[i]))


def digest(examples, index):
    """SHA-256 of an image, hex: of its file or record, in memory of shape and pixels.

    Raises:
      InputError: if the image cannot be read.
    """
    if examples.images is None:
        return hashlib.sha256(records.of(examples).read([index])[0]).hexdigest()
    image = examples.images[index]
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


def unchanged(examples, index, row):
    """Whether an image has the content that was decided on, or may have: where it is gone, too."""
    try:
        return not row.sha256 or digest(examples, index) == row.sha256
    except InputError:
        return True


def before_audits(train, given):
    """`Examples` of the same images with other labels, int `[N]`: those before any audit."""
    return dataclasses.replace(train, labels=given)


def _copies(names, labels, num_classes):
    """int64 `[N]`: how many images before each have the same name and label."""
    codes = texts.numbers(names) * num_classes + labels
    order = np.argsort(codes, kind='stable')
    first = np.searchsorted(codes[order], codes[order])
    found = np.empty(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - first
    return found


def _places(examples, rows):
    """{key: index} of the keys of `rows` that are in the set."""
    wanted = {os.fsencode(key[0]) for key in rows}
    seen, places = {}, {}
    for i, name in enumerate(records.names(examples) if wanted else ()):
        if name in wanted:
            pair = os.fsdecode(name), examples.class_names[examples.labels[i]]
            places[(*pair, seen.setdefault(pair, 0))] = i
            seen[pair] += 1
    return places


def _parsed(path, number, text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f'{path}: line {number} is no JSON ({error}); expected {_WHAT}.'
                         ) from error


def _decision(path, number, values):
    kinds = {name: int if name == 'copy' else str for name in Decision._fields}
    if not isinstance(values, dict) or values.keys() != kinds.keys() or any(
            type(values[name]) is not kind for name, kind in kinds.items()) or (
                values['decision'] not in WORDS) or (
                    bool(values['label']) != (values['decision'] in (KEEP, SUGGESTION, ANOTHER))):
        raise InputError(f'{path}: line {number} is no decision; expected {", ".join(kinds)}.')
    return Decision(**values)


def _shown(path):
    return os.fsencode(path).decode('utf-8', 'replace')
