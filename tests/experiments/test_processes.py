import json
import os
import subprocess
import sys

PROGRAM = '''
import json, os, pathlib, sys
from experiments import processes
processes.run(2)
core = os.environ.get(processes.CORE)
if core is None:
    sys.exit()  # what started the others, and waited for them
import tensorflow as tf
pathlib.Path(core + '.json').write_text(json.dumps([
    sorted(os.sched_getaffinity(0)), tf.config.threading.get_intra_op_parallelism_threads(),
    tf.config.threading.get_inter_op_parallelism_threads(), sys.argv[1:]]))
sys.exit(int(sys.argv[1]) if core == '1' else 0)
'''


def test_each_process_has_a_core_and_a_thread_and_a_failure_is_told(tmp_path):
    (tmp_path / 'program.py').write_text(PROGRAM)
    environment = {**os.environ, 'PYTHONPATH': os.getcwd()}
    done = subprocess.run([sys.executable, 'program.py', '3'], cwd=tmp_path, env=environment,
                          check=False)
    assert done.returncode == 3
    cores = sorted(os.sched_getaffinity(0))
    for number in (0, 1):
        affinity, *rest = json.loads((tmp_path / f'{number}.json').read_text())
        assert affinity == [cores[number % len(cores)]]
        assert rest == [1, 1, ['3']]
