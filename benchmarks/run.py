"""Runs the benchmarks and writes results/benchmarks.csv and results/benchmarks.md.

  python benchmarks/run.py                        all of them: under 30 minutes on two cores
  python benchmarks/run.py --only=loss,sampler    these; rows of the others stay
  python benchmarks/run.py --quick                tiny sizes: only whether each works

Each runs in a process of its own. One that fails or takes too long becomes a row that says so, and
the exit status is then 1. Rows are written as they come. After `--minutes` what is left is stopped.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

HOME = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(HOME))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from benchmarks import measure  # noqa: E402
from bsce_tf import files  # noqa: E402
from experiments.provenance import provenance  # noqa: E402

# Each with the seconds after which it is stopped; on a quiet machine most take half of that.
FILES = {'loss': 240, 'sampler': 240, 'metric': 180, 'startup': 180, 'index': 240,
         'catalogue': 240, 'packed': 180, 'reading': 240, 'input_pipeline': 240, 'augment': 120,
         'training_step': 240, 'export': 300, 'backbones': 720, 'growth': 300,
         'heads': 300, 'formats': 300, 'neighbours': 600}
PEERS = ('torch', 'torchvision', 'timm', 'torchmetrics')
OURS = ('scikit-learn', 'keras-cv', 'tf-models-official')


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', default=','.join(FILES), help='names, divided by commas')
    parser.add_argument('--quick', action='store_true', help='tiny sizes: only whether each works')
    parser.add_argument('--peer-python', default=str(measure.PEER_PYTHON),
                        help='a Python that has benchmarks/peers.txt')
    parser.add_argument('--minutes', type=float, default=30, help='of all together')
    parser.add_argument('--output', type=pathlib.Path, help='folder; default results, with '
                        '--quick runs/benchmarks')
    options = parser.parse_args()
    names = options.only.split(',')
    unknown = [name for name in names if name not in FILES]
    if unknown:
        parser.error(f'--only: found {", ".join(unknown)}; expected some of {", ".join(FILES)}')
    if not pathlib.Path(options.peer_python).exists():
        parser.error(f'--peer-python: {options.peer_python} is not there; `make bench` makes it')
    folder = options.output or HOME / ('runs/benchmarks' if options.quick else 'results')
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what it started, too
    sys.exit(run(names, folder, options))


def run(names, folder, options):
    """Runs some benchmarks; returns the exit status."""
    made = provenance()
    made['versions'] = (f'{measure.versions(sys.executable, *OURS)}; '
                        f'{measure.versions(options.peer_python, *PEERS)}')
    table = [line for line in read(folder / 'benchmarks.csv') if line['file'] not in names]
    end = time.monotonic() + 60 * options.minutes
    for name in names:
        print(f'{name}.py', flush=True)
        for found in rows_of(name, min(FILES[name], end - time.monotonic()), options):
            print(measure.text_of(found), flush=True)
            table.append({'file': name, **{k: str(v) for k, v in found._asdict().items()},
                          **made})
            table.sort(key=lambda line: list(FILES).index(line['file']))
            write(table, folder)
    return int(any(line['met'] == 'failed' and line['file'] in names for line in table))


def rows_of(name, seconds, options):
    """Rows of one benchmark, as they come, and one more if it fails or takes longer."""
    command = [sys.executable, str(HOME / 'benchmarks' / f'{name}.py'), '--json',
               f'--peer-python={options.peer_python}', *(['--quick'] if options.quick else [])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HOME,
        env={**os.environ, 'PYTHONPATH': str(HOME)}, start_new_session=True)
    errors = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)
    reader.start()
    late = threading.Event()

    def stop():
        late.set()
        _kill(process)

    timer = threading.Timer(max(seconds, 0), stop)
    timer.start()
    try:
        for line in process.stdout:
            if line.startswith('['):  # what libraries print besides is no row
                yield measure.Row(*json.loads(line))
        status = process.wait()
    finally:
        timer.cancel()
        _kill(process)
    reader.join(5)
    if late.is_set():
        yield measure.failed(f'{name}.py', f'stopped after {max(seconds, 0):.0f} s')
    elif status:
        said = [line.strip() for line in errors if line.strip()]
        yield measure.failed(f'{name}.py', (said or [f'exit status {status}'])[-1])


def _kill(process):
    """Ends a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def read(path):
    """Rows of an earlier run, as dicts of strings."""
    if not path.exists():
        return []
    with open(path, encoding='utf-8', newline='') as file:
        return [line for line in csv.DictReader(file) if line['file'] in FILES]


def write(table, folder):
    """Writes both files."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(table)
    files.write_text(folder / 'benchmarks.csv', text.getvalue())
    files.write_text(folder / 'benchmarks.md', page(table))


def page(table):
    """The table in Markdown."""
    lines = ['# Measurements', '',
             '`make bench` writes this file. A ratio is the median of neighbouring measurements, '
             'with its range; ours / theirs is better where it is smaller, theirs / ours where it '
             'is larger.', '']
    for key in ('machine', 'python', 'tensorflow', 'keras', 'versions', 'commit', 'time'):
        lines.append(f'- {key}: {" | ".join(dict.fromkeys(line[key] for line in table))}')
    lines += ['', '| program | what | against | ours | theirs | | ratio | aim | met | note |',
              '|---|---|---|---:|---:|---|---:|---|---|---|']
    for line in table:
        ratio = '' if line['met'] == 'failed' else '{:.3g} [{:.3g} to {:.3g}]'.format(
            *(float(line[key]) for key in ('median', 'low', 'high')))
        cells = [f'`{line["file"]}.py`', line['what'], line['peer'], line['ours'], line['theirs'],
                 line['ratio'], ratio, line['aim'], line['met'], line['note']]
        lines.append('| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
