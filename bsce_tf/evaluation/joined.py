"""Joins the files that parts of a prediction have written; see `division`.

A part that is finished is NAME.part-i-of-n.csv, with NAME.part-i-of-n.csv.json, which says what its
rows depend on, and a list of its bad images. All go when they are joined.
"""

import csv
import json
import shutil

from bsce_tf import division, files
from bsce_tf.errors import InputError


def lock(path):
    """Name of the lock of an output, a pathlib.Path."""
    return f'.{path.name}.lock'


def begin(path, header, made_of):
    """Says what the rows of a part depend on, before there are any."""
    path.unlink(missing_ok=True)
    files.write_json(_about(path), {'columns': list(header), **made_of})


def finished(path, header, made_of):
    """Whether a part is finished.

    Raises:
      InputError: if it is, and of other images, models or columns.
    """
    about = _about(path)
    if not (path.exists() and about.exists()):
        return False
    expected = json.loads(json.dumps({'columns': list(header), **made_of}))
    found = files.read_json(about, dict, 'a part of a prediction')
    differing = [key for key in expected if found.get(key) != expected[key]]
    if differing:
        raise InputError(f'{path}: {", ".join(differing)} differed when it was written; expected '
                         'the same input, models and format as now. Delete it to begin anew, or '
                         'choose another predict.output.')
    return True


def join(output, part, header, made_of, list_of, most_bad):
    """Writes `output` from all parts and removes them, once all are finished.

    Args:
      output: pathlib.Path of the whole.
      part: the `division.Division` of this process.
      header: names of the columns.
      made_of: what the rows of every part depend on, see `partial.Rows`.
      list_of: function of the path of an output that gives that of its list of bad images.
      most_bad: how many bad images all parts may have.

    Raises:
      InputError: if a part is of something else, or there are more bad images.
    """
    parts = [other.file(output) for other in part.all]

    def made():
        return [finished(path, header, made_of) for path in parts]

    def write():
        lists = [list_of(path) for path in parts if list_of(path).exists()]
        bad = _joined(list_of(output), lists)
        if bad > most_bad:
            raise InputError(f'{list_of(output)}: {bad} bad images; expected at most {most_bad:g} '
                             '(data.max_bad_fraction). The parts stay.')
        print(f'{output}: {_joined(output, parts):,} images, of {len(parts)} parts')
        for path in (*lists, *parts, *map(_about, parts)):
            path.unlink()

    division.join(output.parent, lock(output), 'predict.output', made, write)


def _about(path):
    return path.with_name(f'{path.name}.json')


def _joined(path, parts):
    """Writes files that begin with one header to another, with one header; returns their rows."""
    if not parts:
        path.unlink(missing_ok=True)  # of an earlier prediction
        return 0
    with files.replacing(path) as temporary, open(temporary, 'wb') as whole:
        for number, part in enumerate(parts):
            with open(part, 'rb') as file:
                header = file.readline()
                if not number:
                    whole.write(header)
                shutil.copyfileobj(file, whole)
    return sum(_rows(part) for part in parts)


def _rows(path):
    with open(path, newline='', encoding='utf-8', errors='surrogateescape') as file:
        return sum(1 for _ in csv.reader(file)) - 1
