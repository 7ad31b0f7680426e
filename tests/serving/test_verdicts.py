"""Every part of the program accepts and refuses the same files."""

import pathlib

import numpy as np
import pytest

from bsce_tf.catalogue import verify
from bsce_tf.data import pipeline
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.data.view import View
from bsce_tf.evaluation import predictors
from bsce_tf.evaluation.predict import predict
from tests.data import verdicts
from tests.run_files import rows_of
from tests.serving.exported import ask_c_api
from tests.smoke import smoke

FILES = verdicts.GOOD | verdicts.BAD
WANTED = [*verdicts.GOOD]


@pytest.fixture
def examples(tmp_path):
    for i, data in enumerate(FILES.values()):
        (tmp_path / f'{i:02d}.jpg').write_bytes(data)
    return Examples([0] * len(FILES), ['a'], root=str(tmp_path),
                    paths=np.array([f'{i:02d}.jpg' for i in range(len(FILES))], 'S'))


def by_verify(examples):
    bad, _, _ = verify.verify(records.of(examples), verdicts.LIMIT, f'{examples.root}/journal',
                              processes=1, progress=False)
    return [i not in bad for i in range(len(examples))]


def by_training(examples):
    report = pathlib.Path(examples.root, 'bad_images.csv')
    bad = BadImages('skip', 1.0, verdicts.LIMIT, report)
    next(iter(pipeline.training(examples, lambda positions: positions, batch_size=len(examples),
                                view=View(32, (36,), 'multi_scale'), bad=bad)))
    listed = {row['path'] for row in rows_of(report)}
    return [examples.name(i) not in listed for i in range(len(examples))]


@pytest.mark.parametrize('judge', [by_verify, by_training])
def test_verdicts(judge, examples):
    found = dict(zip(FILES, judge(examples), strict=True))
    assert [name for name in FILES if found[name]] == WANTED


class InCLibrary(predictors.SavedModel):
    """A SavedModel in the process that `ask_c_api` has begun: to load it here takes 5 s."""

    def __init__(self, path, top_k):
        self.path, self.top_k, self.voting, self.fingerprints = pathlib.Path(path), 5, True, []

    def call(self, data):
        (answer,), _ = ask_c_api(self.path, [list(data)])
        return {**answer, 'class_names': np.char.encode(answer['class_names']).astype(object)}


@pytest.mark.parametrize('model', ['run', 'SavedModel'])
def test_verdicts_of_a_prediction(model, runs, pair, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(predictors, 'SavedModel', InCLibrary)
    output = tmp_path / 'out' / 'p.csv'
    predict(smoke(**{
        'batch_size': 8, 'data.on_error': 'skip', 'data.max_bad_fraction': 1.0,
        'predict.input': examples.root, 'predict.output': str(output),
        'predict.model': str(pair) if model == 'SavedModel' else ''}), str(runs[0]))
    rows = rows_of(output)
    assert [row['path'] for row in rows] == [examples.name(i) for i in range(len(examples))]
    good = [name for name, row in zip(FILES, rows, strict=True) if row['class_1']]
    assert good == WANTED
    listed = {row['path'] for row in rows_of(output.with_name('p_bad_images.csv'))}
    assert len(listed) == len(verdicts.BAD)


def test_verdicts_of_an_exported_model(pair):
    (answer,), _ = ask_c_api(pair, [list(FILES.values())])
    good = dict(zip(FILES, answer['class_ids'][:, 0] >= 0, strict=True))
    assert [name for name in FILES if good[name]] == WANTED
