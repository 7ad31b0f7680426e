import resource
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import files
from bsce_tf.errors import InputError, RunError
from bsce_tf.training import checkpoint
from bsce_tf.training.state import State

ARRAYS = [np.arange(6, dtype='float32').reshape(2, 3), np.int64(7), np.array([1, 2], 'uint32')]


def test_what_is_saved_comes_back(tmp_path):
    state = State(stage=1, epoch=2, step=3, total=40, wait=1, best={'raw': {'error': 0.5}},
                  rows=[{'epoch': 1, 'loss': 0.1}])
    checkpoint.save(tmp_path / 'checkpoints', state, ARRAYS)
    name, found, arrays = checkpoint.load(tmp_path / 'checkpoints')
    assert (name, found) == ('step-0000000040.h5', state)
    for ours, theirs in zip(ARRAYS, arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype


def test_the_last_ones_are_kept(tmp_path):
    for total in range(5):
        checkpoint.save(tmp_path, State(total=total), ARRAYS, keep=3)
    assert checkpoint.names(tmp_path) == [checkpoint.name_of(t) for t in (2, 3, 4)]
    assert checkpoint.load(tmp_path / 'none') is None


@pytest.mark.parametrize('keep', [1, 2])
def test_damaged_ones_do_not_count_among_those_that_are_kept(tmp_path, keep):
    for total in range(1, 4):
        checkpoint.save(tmp_path, State(total=total), ARRAYS, keep=3)
    for total in (2, 3):
        (tmp_path / checkpoint.name_of(total)).write_bytes(b'')
    name, state, _ = checkpoint.load(tmp_path)
    assert state.total == 1
    checkpoint.set_aside(tmp_path, name)
    assert checkpoint.names(tmp_path) == [checkpoint.name_of(1)]
    for total in (2, 4, 5):  # a step that was damaged is reached again
        checkpoint.save(tmp_path, State(total=total), ARRAYS, keep)
        assert checkpoint.load(tmp_path)[1].total == total
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        checkpoint.name_of(total) for total in (4, 5)[-keep:]]


@pytest.mark.parametrize('damage', ['empty', 'cut', 'text', 'array'])
def test_damaged_files_give_way_to_the_one_before(tmp_path, caplog, damage):
    values = [np.random.default_rng(0).normal(size=5000).astype('float32')]
    for total in (1, 2):
        checkpoint.save(tmp_path, State(total=total), values)
    path = tmp_path / checkpoint.name_of(2)
    data = path.read_bytes()
    if damage == 'array':
        place = data.index(values[0].tobytes()) + 999
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
    path.write_bytes({'empty': b'', 'cut': data[:-100], 'text': b'x' * 999, 'array': data}[damage])
    assert checkpoint.load(tmp_path)[1].total == 1
    assert f'{path}: damaged' in caplog.text
    path.with_name(checkpoint.name_of(1)).write_bytes(b'')
    with pytest.raises(InputError, match='step-0000000002.h5: damaged .*at least one whole'):
        checkpoint.load(tmp_path)


def test_a_full_disk_loses_nothing(tmp_path):
    checkpoint.save(tmp_path, State(total=1), ARRAYS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails as on a full disk
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(RunError, match=r'step-0000000002.h5: cannot be written: .*is kept'):
            checkpoint.save(tmp_path, State(total=2), [np.zeros(100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ['step-0000000001.h5']
    assert checkpoint.load(tmp_path)[1].total == 1


def test_a_disk_with_too_little_space_is_not_written_to(tmp_path, monkeypatch):
    arrays = [np.zeros(1000)] * 400
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda _: usage._replace(free=3_200_000))
    with pytest.raises(RunError, match='cannot be written: No space left on device; the check'):
        checkpoint.save(tmp_path, State(total=2), arrays)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    checkpoint.save(tmp_path, State(total=2), arrays)
    size = (tmp_path / checkpoint.name_of(2)).stat().st_size
    assert 3_200_000 < size <= checkpoint.space(arrays)


def test_arrays_of_another_network_are_refused():
    variables = [tf.Variable([1.0, 2.0])]
    with pytest.raises(InputError, match='a.h5: holds 1 arrays that do not fit the 1 variables'):
        checkpoint.assign(variables, [np.zeros(3)], 'a.h5')
    checkpoint.assign(variables, [np.array([3.0, 4.0])], 'a.h5')
    assert variables[0].numpy().tolist() == [3.0, 4.0]
