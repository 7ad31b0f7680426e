"""Trackers are test doubles here: they note what the real packages would be told."""

import contextlib
import sys
import types

import pytest

from bsce_tf.errors import InputError, PreemptedError, RunError
from bsce_tf.training.observers.tracking import Tracking

ROWS = [{'epoch': 1, 'loss': 0.5}, {'epoch': 2, 'loss': 0.4}]


def mlflow_double(calls):
    def start_run(run_id, run_name):
        calls.append(('start', run_id, run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or 'id-7'))

    return types.SimpleNamespace(
        start_run=start_run, log_params=lambda p: calls.append(('params', p)),
        log_metrics=lambda row, step: calls.append(('row', row, step)),
        end_run=lambda status: calls.append(('end', status)))


def wandb_double(calls):
    def init(name, dir, config, id, resume):  # noqa: A002 (the names are wandb's)
        calls.append(('start', id, name))
        return types.SimpleNamespace(id=id or 'id-7')

    return types.SimpleNamespace(init=init, log=lambda row, step: calls.append(('row', row, step)),
                                 finish=lambda exit_code: calls.append(('end', exit_code)))


DOUBLES = {'mlflow': mlflow_double, 'wandb': wandb_double}


@pytest.mark.parametrize(('name', 'done'), [('mlflow', 'FINISHED'), ('wandb', 0)])
def test_a_restarted_run_goes_on_with_its_record(tmp_path, monkeypatch, name, done):
    calls, folder = [], tmp_path / 'shoes'
    folder.mkdir()
    monkeypatch.setitem(sys.modules, name, DOUBLES[name](calls))
    for row in ROWS:
        tracking = Tracking(name, folder, {'loss': {'alpha': 0.4}})
        tracking.on_epoch(row, None, None)
        tracking.close()
    found = [call for call in calls if call[0] != 'params']
    assert found == [('start', None, 'shoes'), ('row', ROWS[0], 1), ('end', done),
                     ('start', 'id-7', 'shoes'), ('row', ROWS[1], 2), ('end', done)]
    assert [c[1] for c in calls if c[0] == 'params'] in ([{'loss.alpha': '0.4'}], [])


@pytest.mark.parametrize(('error', 'status', 'code'), [
    (RunError('loss'), 'FAILED', 1), (ValueError(), 'FAILED', 1),
    (PreemptedError('told to stop'), 'KILLED', 255), (KeyboardInterrupt(), 'KILLED', 255)])
def test_a_run_that_did_not_end_well_says_so(tmp_path, monkeypatch, error, status, code):
    for name, expected in (('mlflow', status), ('wandb', code)):
        calls = []
        monkeypatch.setitem(sys.modules, name, DOUBLES[name](calls))
        (tmp_path / name).mkdir()
        tracking = Tracking(name, tmp_path / name, {})
        with contextlib.suppress(type(error)), contextlib.ExitStack() as stack:
            stack.push(tracking.close)
            raise error
        assert calls[-1] == ('end', expected)


def test_a_package_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    with pytest.raises(InputError, match=r"tracking: found 'mlflow', .*'bsce-tf\[mlflow\]'"):
        Tracking('mlflow', tmp_path, {})
