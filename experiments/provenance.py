"""What made a row of a table: commit, versions, machine, time."""

import datetime
import os
import pathlib
import platform
import subprocess

import keras
import tensorflow as tf


def commit():
    """The commit of this program; it ends in '+changes' if tracked files differ from it.

    Those in results/, which the programs themselves write, do not count. Ask at a program's start:
    what is committed later is not what runs.
    """
    def git(*command):
        return subprocess.run(['git', *command], cwd=pathlib.Path(__file__).parent, text=True,
                              capture_output=True, check=False).stdout.strip()
    changed = git('status', '--porcelain', '--untracked-files=no', '--', ':/',
                  ':(top,exclude)results')
    return (git('rev-parse', '--short', 'HEAD') or 'unknown') + ('+changes' if changed else '')


def provenance(of=None):
    """Dict of strings: commit (`of`, or that of now), versions, machine, time."""
    return {'commit': of or commit(),
            'tensorflow': tf.__version__, 'keras': keras.__version__,
            'python': platform.python_version(),
            'machine': f'{_processor()}, {os.cpu_count()} CPUs',
            'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')}


def _processor():
    """Its kind, its name where Linux tells, and whether it has AVX-512, on which speed depends."""
    found = {}
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            found = {key.strip(): value.strip() for key, _, value in
                     (line.partition(':') for line in file)}
    vectors = ', AVX-512' if 'avx512f' in found.get('flags', '').split() else ''
    return f'{platform.machine()} {found.get("model name", "")}'.strip() + vectors
