"""Joins the files that parts of a prediction have written; see `division`.

A part that is finished is NAME.part-i-of-n.csv, with NAME.part-i-of-n.csv.json, which says what its
rows depend on, and a list of its bad images. All go when they are joined.
"""

import csv
import json
import shutil

from bsce_tf import division, files
from bsce_tf.errors import InputError, RunError


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
    if not path.exists() or (found := files.read_json(about, dict, 'a part of a prediction')) is (
            None):
        return False
    expected = json.loads(json.dumps({'columns': list(header), **made_of}))
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
      made_of: what the rows of every part depend on, see `partial.Rows`; `images` is their number.
      list_of: function of the path of an output that gives that of its list of bad images.
      most_bad: how many bad images all parts may have.

    Raises:
      InputError: if a part is of something else, or there are more bad images.
    """
    parts = [other.file(output) for other in part.all]

    def write():
        lists = [list_of(path) for path in parts if list_of(path).exists()]
        bad, rows = sum(map(_rows, lists)), sum(map(_rows, parts))
        if bad > most_bad:
            raise InputError(f'{output}: {bad} bad images; expected at most {most_bad:g} '
                             '(data.max_bad_fraction). The parts stay.')
        if rows != made_of['images']:
            raise RunError(f'{output}: {rows} rows in all parts; expected {made_of["images"]}. '
                           'Delete the parts, and start them once more.')
        _joined(list_of(output), lists)
        _joined(output, parts)
        print(f'{output}: {rows:,} images, of {len(parts)} parts')
        # In this order: killed in between, no part passes for finished without its list.
        for path in (*map(_about, parts), *parts, *lists):
            files.remove(path)

    division.join(output.parent, output.name, lambda: (
        finished(path, header, made_of) for path in parts), write)


def _about(path):
    return path.with_name(f'{path.name}.json')


def _joined(path, parts):
    """Writes files that begin with one header to another, with one header."""
    if not parts:
        files.remove(path)  # of an earlier prediction
        return
    with files.replacing(path) as temporary, open(temporary, 'wb') as whole:
        for number, part in enumerate(parts):
            with open(part, 'rb') as file:
                header = file.readline()
                if not number:
                    whole.write(header)
                shutil.copyfileobj(file, whole)


def _rows(path):
    with open(path, newline='', encoding='utf-8', errors='surrogateescape') as file:
        return sum(1 for _ in csv.reader(file)) - 1
