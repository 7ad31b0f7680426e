"""metrics.csv: a row an epoch."""

import csv
import io

from bsce_tf import files


def write(path, rows):
    """Writes all rows, whole or not at all; a column that a row has not is empty there.

    Args:
      path: of the file.
      rows: list of dicts, at least one.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
