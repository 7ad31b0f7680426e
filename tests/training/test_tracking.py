"""Trackers are test doubles here: they note what the real packages would be told."""

import sys
import types

import pytest

from bsce_tf.errors import InputError
from bsce_tf.training.tracking import Tracking

ROWS = [{'epoch': 1, 'loss': 0.5}, {'epoch': 2, 'loss': 0.4}]


def mlflow_double(calls):
    def start_run(run_id, run_name):
        calls.append(('start', run_id, run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or 'id-7'))

    return types.SimpleNamespace(
        start_run=start_run, log_params=lambda p: calls.append(('params', p)),
        log_metrics=lambda row, step: calls.append(('row', row, step)),
        end_run=lambda: calls.append(('end',)))


def wandb_double(calls):
    def init(name, dir, config, id, resume):  # noqa: A002 (the names are wandb's)
        calls.append(('start', id, name))
        return types.SimpleNamespace(id=id or 'id-7')

    return types.SimpleNamespace(init=init, log=lambda row, step: calls.append(('row', row, step)),
                                 finish=lambda: calls.append(('end',)))


@pytest.mark.parametrize(('name', 'double'), [('mlflow', mlflow_double), ('wandb', wandb_double)])
def test_a_restarted_run_goes_on_with_its_record(tmp_path, monkeypatch, name, double):
    calls, folder = [], tmp_path / 'shoes'
    folder.mkdir()
    monkeypatch.setitem(sys.modules, name, double(calls))
    for row in ROWS:
        tracking = Tracking(name, folder, {'loss': {'alpha': 0.4}})
        tracking.on_epoch(row, None, None)
        tracking.close()
    found = [call for call in calls if call[0] != 'params']
    assert found == [('start', None, 'shoes'), ('row', ROWS[0], 1), ('end',),
                     ('start', 'id-7', 'shoes'), ('row', ROWS[1], 2), ('end',)]
    assert [c[1] for c in calls if c[0] == 'params'] in ([{'loss.alpha': '0.4'}], [])


def test_a_package_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    with pytest.raises(InputError, match=r"tracking: found 'mlflow', .*'bsce-tf\[mlflow\]'"):
        Tracking('mlflow', tmp_path, {})
