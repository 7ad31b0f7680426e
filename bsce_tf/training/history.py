"""metrics.csv: one row for each epoch."""

import csv
import io

from bsce_tf import files


def write(path, rows):
    """Writes all rows in one atomic step; a row without a value has an empty cell.

    Args:
      path: pathlib.Path of the file.
      rows: list of dicts, at least one.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
