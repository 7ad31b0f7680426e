"""The measures of an evaluation by neighbours, as tables."""

import csv
import io
from typing import NamedTuple

import numpy as np

from bsce_tf.index import vote

ERRORS = ('mean_top1_error', 'top1_error', 'top5_error')
_RETRIEVAL = {'recall_at_1': 'recall@1', 'recall_at_5': 'recall@5', 'mean_average_precision': 'mAP'}
_HEADS = ('classes', 'images', *_RETRIEVAL.values(),
          *(f'mean top-1 error, {by}' for by in vote.BY))


class Images(NamedTuple):
    """What was found of n good images.

    Attributes:
      labels: int64 `[n]`, class ids; −1 for a class that neither index nor run has.
      references: int64 `[n]`, images of the label's class in the index.
      precision: float64 `[n]`, average precision; NaN without references.
      recalled: bool `[n, 2]`, for each of `measures.RECALLS`.
      ranks: int64 `[n, 3]`, rank of the label from 0, for each of `vote.BY`.
      cosines: float32 `[n]`, of the nearest image.
      probability: float32 `[n]`, of the classifier's top class.
      also_in_index: number of images that are in the index, too.
      bad: number of images that were left out.
      vectors: float32 `[n, d]`, or None if they were not asked for.
    """

    labels: np.ndarray
    references: np.ndarray
    precision: np.ndarray
    recalled: np.ndarray
    ranks: np.ndarray
    cosines: np.ndarray
    probability: np.ndarray
    also_in_index: int
    bad: int
    vectors: np.ndarray | None = None


def rows(result):
    """List of dicts, one for each group of classes that has images."""
    found = []
    for group, values in result['classes'].items():
        if values is not None:
            found.append({'classes': group, 'images': values['images'],
                          'images_in_index': values['images_in_index'], **values['retrieval'],
                          **{f'{by}_{key}': values[by][key] for by in vote.BY for key in ERRORS}})
    return found


def markdown(result):
    """A table of recall, mean average precision and errors, and a line on the open set."""
    lines = [f'| {" | ".join(_HEADS)} |', f'|---|{"---:|" * (len(_HEADS) - 1)}']
    for row in rows(result):
        cells = [row[key] for key in (*_RETRIEVAL, *(f'{by}_mean_top1_error' for by in vote.BY))]
        lines.append(' | '.join([f'| {row["classes"]}', f'{row["images"]:,}',
                                 *map(_number, cells)]) + ' |')
    return '\n'.join([*lines, '', *_open_set(result['open_set']), ''])


def csv_text(result):
    """The same rows as CSV, with all digits and all errors."""
    text = io.StringIO()
    table = rows(result)
    writer = csv.DictWriter(text, table[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _open_set(found):
    if not found:
        return ['No threshold was chosen: validation has no image to choose it by.']
    chosen = found['validation']
    lines = [f'Open set: the threshold {found["threshold"]:.4f} of the nearest cosine accepts '
             f'{_number(chosen["false_accepts"])} of unknown products on validation (wanted: at '
             f'most {found["false_accept_rate"]:g}) and rejects {_number(chosen["false_rejects"])} '
             f'of known ones; AUROC {_number(chosen["auroc"])}.']
    if 'test' in found:
        there = found['test']
        lines.append(f'On the {there["unknown"]:,} unknown and {there["known"]:,} known test '
                     f'images: {_number(there["false_accepts"])} accepted, '
                     f'{_number(there["false_rejects"])} rejected, AUROC {_number(there["auroc"])} '
                     f'(classifier\'s top probability: {_number(there["classifier_auroc"])}).')
    return lines


def _number(value):
    return '–' if value is None or value != value else f'{value:.4f}'
