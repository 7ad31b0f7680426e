"""A CSV file written in batches: if the program is killed, the rows stay and are resumed."""

import csv
import io
import json
import os
import pathlib

from bsce_tf import files
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError

_ENCODING = {'encoding': 'utf-8', 'errors': 'surrogateescape'}  # file names may be any bytes


class Rows:
    """Writes rows to `NAME.partial`, which is renamed when all are there.

    `NAME.partial.json` says what the rows depend on; a partial file of anything else is refused.

    Args:
      path: of the finished file, NAME.
      header: names of the columns.
      firsts: list of the first cell of each of the N rows.
      made_of: dict of plain values: what the rows depend on.
      step: rows per batch; of a partial file, whole batches are kept.

    Attributes:
      done: number of rows written.
      empty: number of these with only a first cell.

    Raises:
      InputError: if there is a partial file of something else, or `path` is a folder.
    """

    def __init__(self, path, header, firsts, made_of, step):
        self.path = pathlib.Path(path)
        if self.path.is_dir():
            raise InputError(f'predict.output: {path} is a folder; expected a file to write.')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.path.with_name(self.path.name + '.partial')
        self._about = self.path.with_name(self.path.name + '.partial.json')
        self._made_of = json.loads(json.dumps({'columns': list(header), **made_of}))
        self.done = self.empty = 0
        if self._partial.exists():
            self._check()
            self._file = open(self._partial, 'r+', newline='', **_ENCODING)  # noqa: SIM115
            self._go_on(list(header), firsts, step)
        else:
            files.write_json(self._about, self._made_of)
            self._file = open(self._partial, 'w', newline='', **_ENCODING)  # noqa: SIM115
            self.append([header], count=False)

    def append(self, rows, count=True):
        """Writes rows and flushes them, so that they survive a kill of the program."""
        self._file.write(_text(rows))
        self._file.flush()
        self.done += len(rows) * count
        self.empty += _empty(rows)

    def close(self):
        """Closes the partial file, for a later call to resume."""
        self._file.close()

    def finish(self):
        """Renames the partial file to its final name."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._partial, self.path)
        files.remove(self._partial)  # from a bucket
        files.remove(self._about)

    def _check(self):
        try:
            found = json.loads(self._about.read_text(encoding='utf-8'))
            differing = records.differing(found, self._made_of)
        except (OSError, ValueError, AttributeError) as error:
            raise self._refusal(f'{self._about.name} is missing or damaged') from error
        if differing:
            raise self._refusal(f'{", ".join(differing)} differed when it was begun')

    def _go_on(self, header, firsts, step):
        """Reads the rows that exist, and cuts off those after the last whole step."""
        text = self._file.read()
        try:
            rows = list(csv.reader(io.StringIO(text, newline='')))
        except csv.Error as error:
            raise self._refusal(f'not CSV ({error})') from error
        if rows and not (text.endswith('\n') and text.startswith(_text(rows))):
            rows.pop()  # the last row is incomplete
        if not rows:  # even the header is incomplete
            rows = [header]
        elif rows[0] != header or not text.startswith(_text(rows)) or any(
                row[0] != first for row, first in zip(rows[1:], firsts, strict=False)):
            raise self._refusal('its rows are not those of this input')
        self.done = (len(rows) - 1) // step * step if len(rows) - 1 < len(firsts) else len(firsts)
        self.empty = _empty(rows[1:1 + self.done])
        kept = _text(rows[:1 + self.done])
        self._file.seek(0)
        self._file.write(kept)
        self._file.truncate(len(kept.encode(**_ENCODING)))
        self._file.flush()

    def _refusal(self, reason):
        return InputError(f'{self._partial}: {reason}; expected the same input, models and format '
                          'as now. Delete the file to begin anew, or choose another '
                          'predict.output.')


def begun(path):
    """Whether there is a partial file of `path`."""
    return pathlib.Path(f'{path}.partial').exists()


def _empty(rows):
    return sum(not any(row[1:]) for row in rows)


def _text(rows):
    text = io.StringIO()
    files.csv_writer(text).writerows(rows)
    return text.getvalue()
