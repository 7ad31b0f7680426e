"""Every part of the program accepts and refuses the same files."""

import csv

import numpy as np
import pytest

from bsce_tf.catalogue import verify
from bsce_tf.data import pipeline
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.data.view import View
from tests.data import verdicts
from tests.serving.exported import ask_c_api

FILES = verdicts.GOOD | verdicts.BAD
WANTED = [*verdicts.GOOD]


@pytest.fixture
def examples(tmp_path):
    for i, data in enumerate(FILES.values()):
        (tmp_path / str(i)).write_bytes(data)
    return Examples([0] * len(FILES), ['a'], root=str(tmp_path),
                    paths=np.arange(len(FILES)).astype('S'))


def by_verify(examples):
    bad, _, _ = verify.verify(records.of(examples), verdicts.LIMIT, f'{examples.root}/journal',
                              processes=1, progress=False)
    return [i not in bad for i in range(len(examples))]


def by_training(examples):
    report = f'{examples.root}/bad_images.csv'
    bad = BadImages('skip', 1.0, verdicts.LIMIT, report)
    next(iter(pipeline.training(examples, lambda positions: positions, batch_size=len(examples),
                                view=View(32, (36,), 'multi_scale'), bad=bad)))
    with open(report, newline='') as file:
        listed = {row['path'] for row in csv.DictReader(file)}
    return [str(i) not in listed for i in range(len(examples))]


def by_predict(examples):
    bad = BadImages('skip', 1.0, verdicts.LIMIT)
    found = pipeline.evaluation(examples, [View(32, (36,))], 8, bad)
    return np.concatenate([batch.weights > 0 for batch in found]).tolist()


@pytest.mark.parametrize('judge', [by_verify, by_training, by_predict])
def test_verdicts(judge, examples):
    found = dict(zip(FILES, judge(examples), strict=True))
    assert [name for name in FILES if found[name]] == WANTED


def test_verdicts_of_an_exported_model(pair):
    (answer,), _ = ask_c_api(pair, [list(FILES.values())])
    good = dict(zip(FILES, answer['class_ids'][:, 0] >= 0, strict=True))
    assert [name for name in FILES if good[name]] == WANTED
