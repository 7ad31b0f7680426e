"""What the report and the program say of folders and files that are missing or damaged."""

import shutil

import pytest

from bsce_tf.errors import InputError
from bsce_tf.report.report import report
from tests import processes
from tests.report.report_page import Page


def test_data_that_is_gone_is_said(hostile, tmp_path, config):
    shutil.copytree(hostile, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    path = tmp_path / 'run' / 'config.json'
    path.write_text(path.read_text().replace('test.csv', 'gone.csv'))
    (tmp_path / 'run' / 'metrics.csv').unlink()
    text = Page(report(config, tmp_path / 'run').read_text(encoding='utf-8')).text
    assert 'its data cannot be read' in text
    assert 'gone.csv' in text
    assert 'no metrics.csv' in text


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('metrics.csv', 'epoch,loss\n1,2\n', 'metrics.csv: found the columns epoch, loss; expected s'),
    ('metrics.csv', 'stage,epoch,loss\n0,1,abc\n', "line 2: found 'abc' as loss; expected a num"),
    ('metrics.csv', 'stage,epoch,loss\n0,1\n', 'line 2 has fewer cells'),
    ('metrics.csv', 'stage,epoch,loss\n0,1,2,3\n', 'line 2 has more cells'),
    ('metrics.csv', 'stage,epoch\n0,1.5\n', "epoch '1.5'; expected whole numbers"),
    ('metrics.csv', 'stage,epoch\n0,\n', "epoch ''; expected whole numbers"),
    ('metrics.csv', b'\xff\xfe\x00', 'metrics.csv: .*expected a CSV file that a run wrote'),
    ('eval.json', '{', 'eval.json: .*expected JSON that --mode=evaluate wrote'),
    ('eval.json', '[]', 'eval.json: found a list; expected a JSON object'),
    ('eval.json', '{"adjust_tau": "1"}', "eval.json: found '1' as adjust_tau; expected a number"),
    ('eval.json', '{"other_data": 1}', 'eval.json: found 1 as other_data; expected a JSON object'),
    ('eval.json', '{"top1_error": 7}', 'eval.json: found 7 as top1_error; expected a number from'),
    ('eval.json', '{"scales": {"24": 3}}', "eval.json: found {'24': 3} as scales"),
    ('bad_images.csv', 'a,b\n1,2\n', 'bad_images.csv: found the columns a, b; expected path and')])
def test_damaged_files_are_named(stages, config, name, content, message):
    (stages / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        report(config, stages)
    assert '\n' not in str(error.value)
    assert not (stages / 'report.html').exists()


def test_folders_that_are_no_runs(stages, tmp_path, config):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty has no config.json; expected the folder of a'):
        report(config, f'{stages},{tmp_path / "empty"}')
    with pytest.raises(InputError, match='comes twice'):
        report(config, f'{stages},{stages}/')
    with pytest.raises(InputError, match='with one comma between'):
        report(config, f'{stages},,')
    fields = config.copy_and_resolve_references()
    fields.report.output = str(tmp_path)
    with pytest.raises(InputError, match='report.output: .* is a folder'):
        report(fields, stages)
    fields.report.output = str(stages / 'eval.json' / 'page.html')
    with pytest.raises(InputError, match='report.output: .*expected a file that can be written'):
        report(fields, stages)


def test_the_program_says_it_in_one_line(tmp_path):
    found = processes.run(processes.program, '--mode=report', f'--workdir={tmp_path}')
    assert found.returncode == 2
    assert f'error: --workdir: {tmp_path} has no config.json' in found.stderr
    assert 'Traceback' not in found.stderr
