"""The part of a page on an index: numbers of neighbours.json, and the accept/reject curve."""

import json

import numpy as np
import pytest

from bsce_tf.errors import InputError
from bsce_tf.index import open_set
from bsce_tf.report import neighbours
from tests.report.report_page import Page


def found():
    """As --mode=evaluate writes it."""
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(0.9, 0.05, 500), rng.normal(0.7, 0.1, 400)
    errors = {by: {'mean_top1_error': 0.1 * i} for i, by in enumerate(neighbours.vote.BY)}
    group = {'images': 1234, 'images_in_index': 1200, **errors, 'retrieval': {
        'recall_at_1': 0.8125, 'recall_at_5': 0.9375, 'mean_average_precision': None}}
    part = {'known': 500, 'unknown': 400, 'auroc': open_set.auroc(known, unknown),
            'false_accepts': 0.05, 'false_rejects': 0.25, 'curve': open_set.curve(known, unknown)}
    return {'split': 'test', 'index': '/index & <b>', 'index_images': 5000,
            'classes': {'all': group, 'seen': group, 'unseen': None},
            'open_set': {'threshold': 0.86, 'false_accept_rate': 0.05, 'validation': part,
                         'test': part}}


def test_tables_and_curves(tmp_path):
    (tmp_path / 'neighbours.json').write_text(json.dumps(found()))
    page = Page(str(neighbours.section(neighbours.read(tmp_path), 'shop')))
    for text in ('0.8125', '0.9375', '1,234', '/index & <b>', '0.8600', '0.2500'):
        assert text in page.text
    assert 'unseen' not in [data for _, data in page.texts]
    assert len(page.svgs) == 2
    curve = found()['open_set']['test']['curve']
    lines = [path['d'] for path in page.all('path') if path['d'].count('L') == len(curve) - 1]
    assert len(lines) == 4
    heights = [float(point.split()[1]) for point in lines[0][1:].split('L')]
    assert heights == sorted(heights)  # false accepts fall, and pictures have y downwards
    assert heights[0] == pytest.approx(218 - curve[0][1] * (218 - 26), abs=0.1)


def test_no_file_and_no_threshold(tmp_path):
    assert neighbours.read(tmp_path) is None
    (tmp_path / 'neighbours.json').write_text(json.dumps({**found(), 'open_set': None}))
    assert 'No threshold' in Page(str(neighbours.section(neighbours.read(tmp_path), 'a'))).text


@pytest.mark.parametrize('content', ['{', '[]', '{"classes": {"all": {}}}', '{"classes": {}}'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / 'neighbours.json').write_text(content)
    with pytest.raises(InputError, match='neighbours.json: .*expected what --mode=evaluate'):
        neighbours.read(tmp_path)
