import importlib
import json
import shutil
import types

import pytest

from bsce_tf import config_check
from bsce_tf.errors import InputError
from bsce_tf.evaluation import run_config
from tests import processes


def flag(given=False, **overrides):
    return types.SimpleNamespace(present=given, override_values=overrides)


@pytest.fixture
def typed():
    """What the command line gives without --config: another config than the runs'."""
    return importlib.import_module('configs.fashion_mnist').get_config()


def test_without_config_the_first_run_tells(runs, typed):
    for mode in run_config.MODES:
        config = run_config.resolve(mode, typed, f'{runs[1]},{runs[0]}', flag(
            batch_size=5, **{'tta.scales': (30,), 'data.on_error': 'skip'}))
        config_check.check(config)
        assert (config.image.size, config.data.source, config.seed) == (20, 'generated', 5)
        assert (config.batch_size, config.tta.scales, config.data.on_error) == (5, (30,), 'skip')
    assert run_config.resolve('train', typed, 'x,,y', flag(seed=3)) is typed


def test_every_run_has_its_own_scales(runs, typed, tmp_path):
    folder = shutil.copytree(runs[0], tmp_path / 'a')
    own = json.loads((folder / 'config.json').read_text())
    own['tta']['scales'] = [40]
    del own['evaluate'], own['predict']['top_k']  # as a run of an earlier version
    (folder / 'config.json').write_text(json.dumps(own))
    config = run_config.resolve('evaluate', typed, str(folder), flag())
    config_check.check(config)
    assert config.tta.scales == ()
    assert config.predict.top_k == 5
    assert config.evaluate.output == ''


@pytest.mark.parametrize('given', [False, True])
def test_the_model_is_the_runs_own(runs, typed, given):
    both = ','.join(map(str, runs))
    with pytest.raises(InputError, match="model.backbone: found 'resnet50'; expected 'tests.smo"):
        run_config.resolve('evaluate', typed, both, flag(given, **{'model.backbone': 'resnet50'}))
    with pytest.raises(InputError, match=r'image.size: found 24; expected 20, as the run in .*/b'):
        run_config.resolve('evaluate', typed, both, flag(given, **{'image.size': 24}))
    with pytest.raises(InputError, match=r'config.loss.alhpa: found 1; expected None'):
        run_config.resolve('predict', typed, both, flag(given, **{'loss.alhpa': 1}))
    same = {'image.scales': [24, 28], 'loss.alpha': 'by_name', 'stages': ({},)}
    config = run_config.resolve('evaluate', typed, str(runs[0]), flag(given, **same))
    assert (config is typed) == given
    assert given or config.image.scales == (24, 28)


def test_from_the_command_line(runs):
    result = processes.run(processes.program, '--mode=evaluate', f'--workdir={runs[0]}',
                           '--config.loss.name=sce')
    assert result.returncode == 2
    assert "error: --config.loss.name: found 'sce'; expected 'bsce'" in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_saved_model_needs_no_run(typed):
    typed.predict.model = 'export/1'
    assert run_config.resolve('predict', typed, 'runs/demo', flag()) is typed
    with pytest.raises(InputError, match='no config.json'):
        run_config.resolve('evaluate', typed, 'runs/there/is/none', flag())


def test_folders(tmp_path):
    assert list(map(str, run_config.folders('a, b/c'))) == ['a', 'b/c']
    assert run_config.folders(tmp_path / 'a,b') == (tmp_path / 'a,b',)
    (tmp_path / 'a,b').mkdir()
    (tmp_path / 'a,b' / 'config.json').write_text('{}')
    assert run_config.folders(str(tmp_path / 'a,b')) == (tmp_path / 'a,b',)
    with pytest.raises(InputError, match='one comma'):
        run_config.folders('a,,b')
    with pytest.raises(InputError, match="'./a' comes twice"):
        run_config.folders('a,./a')
