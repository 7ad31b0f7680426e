"""Tables of errors as Markdown and as CSV."""

import csv
import io

COLUMNS = {'mean_top1_error': 'mean top-1 error', 'top1_error': 'top-1', 'top5_error': 'top-5',
           'head_error': 'head', 'medium_error': 'medium', 'tail_error': 'tail'}


def markdown(heads, rows):
    """A Markdown table with four decimals.

    Args:
      heads: names of the first columns.
      rows: list of (cells of the first columns, dict with the keys of `COLUMNS`); None, the error
        of a group without classes, becomes a dash.

    Returns:
      The text, which ends with a newline.
    """
    table = [[*heads, *COLUMNS.values()], ['---'] * len(heads) + ['---:'] * len(COLUMNS)]
    for cells, errors in rows:
        values = [errors[key] for key in COLUMNS]
        table.append([*(str(cell).replace('|', '\\|') for cell in cells),
                      *('–' if value is None else f'{value:.4f}' for value in values)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ''.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(
        row, widths, strict=True)) + ' |\n' for row in table)


def csv_text(heads, rows):
    """The same rows as CSV with all digits; the columns have the keys of `COLUMNS` as names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow([*heads, *COLUMNS])
    for cells, errors in rows:
        writer.writerow([*cells, *(errors[key] for key in COLUMNS)])
    return text.getvalue()
