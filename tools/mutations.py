"""Breaks lines of the program on purpose, one at a time, and shows that the tests notice.

  make mutations                                   # all of tools/mutations.toml
  python tools/mutations.py --only=swa-first-epoch,rce-sign

Works on a copy of what Git would commit. First the named tests must pass as the program is; then
each line of the table is changed, and at least one of its tests must fail. The exit status is 1 if
a change goes unnoticed, or if a line to change is no longer in its file exactly once.
"""

import argparse
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = ROOT / 'tools' / 'mutations.toml'
FAILED, MISSING = 1, 'stale'  # pytest's status when tests failed; the line is not there
TIMEOUT = 900  # seconds for the tests of one change; a change that makes them hang is noticed

# A server that has imported the libraries, and nothing of ours, starts the tests in no time.
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['keras', 'tensorflow', 'pytest', 'PIL.Image', 'pyarrow', 'faiss'])


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--only', default='', help='names, with commas between')
    options = options.parse_args()
    table = {entry['name']: entry for entry in tomllib.loads(TABLE.read_text())['change']}
    names = options.only.split(',') if options.only else list(table)
    if not set(names) <= table.keys():
        sys.exit(f'--only: found {sorted(set(names) - table.keys())}; expected names of {TABLE}')
    with tempfile.TemporaryDirectory(prefix='mutations-') as copy:
        copy = pathlib.Path(copy)
        _copy(copy)
        found = _judge(copy, [table[name] for name in names])
    bad = [f'{name} ({verdict})' for name, verdict in found.items() if verdict != 'noticed']
    print(f'{len(found) - len(bad)} of {len(found)} changes noticed'
          + (f'; not: {", ".join(bad)}' if bad else ''))
    sys.exit(bool(bad))


def _judge(copy, entries):
    """{name: verdict}, one of 'noticed', 'unnoticed', MISSING and a word on what went wrong."""
    status, tail = _run_tests(copy, sorted({test for entry in entries for test in entry['tests']}))
    if status != 0:
        sys.exit(f'the tests do not pass as the program is (status {status}):\n{tail}')
    found = {}
    for entry in entries:
        begin = time.monotonic()
        found[entry['name']], tail = _try(copy, entry)
        print(f'{found[entry["name"]]:10} {entry["name"]} ({time.monotonic() - begin:.0f} s)',
              flush=True)
        if found[entry['name']] != 'noticed':
            print(tail, flush=True)
    return found


def _try(copy, entry):
    path = copy / entry['file']
    text = path.read_text() if path.exists() else ''
    if text.count(entry['old']) != 1:
        return MISSING, f'{entry["file"]}: found {text.count(entry["old"])} times; expected once'
    path.write_text(text.replace(entry['old'], entry['new']))
    try:
        status, tail = _run_tests(copy, entry['tests'], stop=True)
    finally:
        path.write_text(text)
    if status in (FAILED, None):
        return 'noticed', ''
    return ('unnoticed' if status == 0 else f'status {status}'), tail


def _copy(copy):
    """The files that Git knows, and those that it would."""
    listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split('\0')):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)


def _run_tests(copy, tests, stop=False):
    """(exit status of pytest, or None where it took too long; the end of what it printed)."""
    log = copy / 'pytest.log'
    process = SERVER.Process(target=_pytest, args=(copy, tests, stop, log))
    process.start()
    process.join(TIMEOUT if stop else None)
    if process.is_alive():
        process.kill()
        process.join()
        return None, ''
    return process.exitcode, log.read_text(errors='replace')[-1500:]


def _pytest(copy, tests, stop, log):
    """What a process does."""
    with open(log, 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    # No compiled files: one of the line before could have the same second and size.
    os.environ.update(PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE='1')
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(copy))
    import pytest
    options = ['-q', '-n', '0', '-p', 'no:cacheprovider', '--tb=line', *(['-x'] if stop else [])]
    sys.exit(pytest.main([*options, *tests]))


if __name__ == '__main__':
    os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', TF_ENABLE_ONEDNN_OPTS='1', CUDA_VISIBLE_DEVICES='',
                      PYTHONWARNINGS='ignore:resource_tracker')
    main()
